"""BokehJS for a page without internet: compressed, so that saved notebooks stay small."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from functools import cache

import bokeh
from bokeh.resources import Resources

__all__ = ["loader"]

# Browsers inflate only asynchronously, but what follows in the page needs Bokeh at once.
_INFLATE = """
function inflate(bytes) {
  let at = 0, hold = 0, held = 0, size = 0
  let out = new Uint8Array(4 * bytes.length)
  const bits = (n) => {
    while (held < n) { hold |= bytes[at++] << held; held += 8 }
    const value = hold & ((1 << n) - 1)
    hold >>>= n; held -= n
    return value
  }
  const put = (byte) => {
    if (size == out.length) { const more = new Uint8Array(2 * size); more.set(out); out = more }
    out[size++] = byte
  }
  const book = (lengths) => {
    const longest = Math.max(...lengths), look = new Uint16Array(1 << longest)
    for (let n = 1, code = 0; n <= longest; n++, code <<= 1)
      lengths.forEach((own, word) => {
        if (own != n) return
        let turned = 0
        for (let k = 0; k < n; k++) turned |= (code >> k & 1) << (n - 1 - k)
        for (let k = turned; k < look.length; k += 1 << n) look[k] = word << 4 | n
        code++
      })
    return {look, longest}
  }
  const read = ({look, longest}) => {
    while (held < longest && at < bytes.length) { hold |= bytes[at++] << held; held += 8 }
    const found = look[hold & (look.length - 1)], n = found & 15
    hold >>>= n; held -= n
    return found >> 4
  }
  const table = (n, every, from) => {
    const extra = [], base = []
    for (let k = 0, value = from; k < n; k++) {
      extra.push(k < 2 * every ? 0 : Math.floor(k / every) - 1)
      base.push(value)
      value += 1 << extra[k]
    }
    return {extra, base}
  }
  const length = table(29, 4, 3), distance = table(30, 2, 1)
  length.extra[28] = 0; length.base[28] = 258
  for (let last = 0; !last;) {
    last = bits(1)
    const kind = bits(2)
    if (kind == 0) {
      at -= held >> 3
      hold = held = 0
      const n = bytes[at] | bytes[at + 1] << 8
      at += 4
      for (let k = 0; k < n; k++) put(bytes[at++])
      continue
    }
    let letters, steps
    if (kind == 1) {
      const fixed = (n, k) => new Array(n).fill(k)
      letters = book([...fixed(144, 8), ...fixed(112, 9), ...fixed(24, 7), ...fixed(8, 8)])
      steps = book(fixed(30, 5))
    } else {
      const n = bits(5) + 257, m = bits(5) + 1, k = bits(4) + 4
      const order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
      const short = new Array(19).fill(0), long = []
      for (let i = 0; i < k; i++) short[order[i]] = bits(3)
      const codes = book(short)
      while (long.length < n + m) {
        const word = read(codes)
        if (word < 16) long.push(word)
        else {
          const again = word == 16 ? long[long.length - 1] : 0
          const times = word == 16 ? 3 + bits(2) : word == 17 ? 3 + bits(3) : 11 + bits(7)
          for (let i = 0; i < times; i++) long.push(again)
        }
      }
      letters = book(long.slice(0, n))
      steps = book(long.slice(n))
    }
    for (;;) {
      const word = read(letters)
      if (word < 256) put(word)
      else if (word == 256) break
      else {
        const n = length.base[word - 257] + bits(length.extra[word - 257])
        const step = read(steps)
        const back = distance.base[step] + bits(distance.extra[step])
        for (let k = 0; k < n; k++) put(out[size - back])
      }
    }
  }
  return new TextDecoder().decode(out.subarray(0, size))
}
"""


def loader(parts: Sequence[str]) -> str:
    """JavaScript that gives a page these parts of BokehJS, unless it has them.

    Parameters
    ----------
    parts : sequence of str
        Names of `bokeh.resources.Resources`, ``"bokeh"`` first.
    """
    packed = ", ".join(f'["{part}", "{_packed(part)}"]' for part in parts)
    return f"""(() => {{
{_INFLATE}
const has = window.sedflow_bokeh ??= {{version: window.Bokeh?.version, parts: ["bokeh"]}}
if (has.version != "{bokeh.__version__}") {{ has.version = "{bokeh.__version__}"; has.parts = [] }}
for (const [part, text] of [{packed}]) {{
  if (has.parts.includes(part)) continue
  has.parts.push(part)
  ;(0, eval)(inflate(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))))
}}
}})()"""


@cache
def _packed(part: str) -> str:
    """One part of BokehJS, deflated, in base 64."""
    text = "\n".join(Resources(mode="inline", components=[part]).js_raw[:1])
    press = zlib.compressobj(9, wbits=-15)
    return base64.b64encode(press.compress(text.encode()) + press.flush()).decode()
