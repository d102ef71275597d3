"""On Binder a session has little memory: one notebook has a kernel at a time.

The kernel of a notebook takes half a gigabyte. Opening the next notebook, or an app, ends that of
the one before; its text and figures stay, and *Run All Cells* makes it live again.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager


class OneKernel(AsyncMappingKernelManager):
    """Kernels, of which the newest lives."""

    async def start_kernel(self, **options: Any) -> str:
        """Start a kernel, after ending those that there are."""
        for kernel in self.list_kernel_ids():
            await self.shutdown_kernel(kernel, now=True)
        return await super().start_kernel(**options)


c = get_config()  # noqa: F821  (Jupyter's loader gives it)
c.ServerApp.kernel_manager_class = OneKernel
c.LabApp.default_url = "/lab/tree/notebooks/00_index.ipynb"
