# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What our action plugins share that ask the API: the options, and the client that they make."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from ansible import constants as C  # noqa: N812 - the name that all of Ansible knows it by
from ansible.module_utils.basic import missing_required_lib

from .ansible_action import ControllerAction
from .cluster import auth, options
from .cluster.client import ApiClient
from .cluster.configmaps import Place
from .cluster.transport import URLLIB3_ERROR


class ApiAction(ControllerAction):
    """An action whose ``ARGUMENT_SPEC`` has :data:`API` in it."""

    API: ClassVar[dict[str, Any]] = {
        **options.ARGUMENT_SPEC,
        "retries": {"type": "int", "default": 4},
        "timeout": {"type": "float", "default": 30.0},
    }

    def check_least(self, parameters: dict[str, Any], **least: float) -> None:
        """End the task where a number is smaller than the least that it can be."""
        for name, number in {**least, "retries": 0, "timeout": 0.001}.items():
            if parameters[name] < number:
                self.fail(f"{name} is {parameters[name]}: the least is {number}")

    def client(self, parameters: dict[str, Any]) -> ApiClient:
        """Raises :class:`AuthError`."""
        if URLLIB3_ERROR:
            self.fail(missing_required_lib("kubernetes", reason="to read an API"), exception=str(URLLIB3_ERROR))
        return ApiClient(
            partial(auth.connect, parameters, self.environment()),
            retries=parameters["retries"],
            timeout=parameters["timeout"],
            tell=self._display.vv,
        )

    def place(self, text: str) -> Place:
        """Where the state's ConfigMap is; ends the task where that is no place."""
        try:
            return Place.of(text)
        except ValueError as error:
            self.fail(f"no node was touched: state_configmap: {error}")

    def run_directory(self) -> Path:
        """A directory of this run of Ansible, which removes it at its end."""
        return Path(C.DEFAULT_LOCAL_TMP) / "npm-netpol-state"
