# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options that say which Kubernetes API to read and as whom, named as in kubernetes.core."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of a kubeconfig, or several joined by C(:), or the content of one as a dictionary.
      - Can also be set by E(K8S_AUTH_KUBECONFIG). If nothing names an API, E(KUBECONFIG) and then C(~/.kube/config)
        are read, if there, and then the service account of the pod that this runs in.
      - The user's credentials can be a token, a certificate, a name and password, or a credential plugin (C(exec)),
        as for AKS with Entra ID. A plugin has no terminal here, and 60 seconds. With kubelogin, use a login that asks
        nobody, such as C(kubelogin convert-kubeconfig -l workloadidentity), C(-l msi) or C(-l spn).
    type: raw
  context:
    description:
      - Name of a context of the kubeconfig. The default is its current context.
      - Can also be set by E(K8S_AUTH_CONTEXT).
    type: str
  host:
    description:
      - URL of the API. Beside O(kubeconfig) or O(context) it takes the place of the server that they name; without
        them, the default kubeconfig is not read.
      - Can also be set by E(K8S_AUTH_HOST).
    type: str
  api_key:
    description:
      - Bearer token.
      - Can also be set by E(K8S_AUTH_API_KEY).
    type: str
  username:
    description:
      - User name for HTTP basic authentication, which AKS does not have but a proxy in front of it may.
      - Can also be set by E(K8S_AUTH_USERNAME).
    type: str
  password:
    description:
      - Password for HTTP basic authentication.
      - Can also be set by E(K8S_AUTH_PASSWORD).
    type: str
  client_cert:
    description:
      - Path of the client's certificate.
      - Can also be set by E(K8S_AUTH_CLIENT_CERT) or E(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the key of O(client_cert), without a passphrase.
      - Can also be set by E(K8S_AUTH_CLIENT_KEY) or E(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  ca_cert:
    description:
      - Path of the certificates of the authorities that may have signed the API's certificate. The default is what the
        kubeconfig says, else those of the system.
      - Can also be set by E(K8S_AUTH_CA_CERT) or E(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  validate_certs:
    description:
      - Whether to verify the API's certificate. The default is what the kubeconfig says, else V(true).
      - Can also be set by E(K8S_AUTH_VALIDATE_CERTS) or E(K8S_AUTH_VERIFY_SSL).
      - AWX's credential for Kubernetes sets the latter to V(false) unless it is given the authority's certificate. You
        are warned then.
    type: bool
    aliases: [verify_ssl]
  tls_server_name:
    description:
      - Name that the API's certificate is for, if it is not the host of the URL.
      - Can also be set by E(K8S_AUTH_TLS_SERVER_NAME).
    type: str
  proxy:
    description:
      - URL of an HTTP proxy to reach the API through, which may hold a user and password. The default is what the
        kubeconfig says, else E(HTTPS_PROXY) or E(HTTP_PROXY) by the API's scheme. These two are not about an API at
        C(localhost) or a loopback address.
      - Can also be set by E(K8S_AUTH_PROXY).
    type: str
  no_proxy:
    description:
      - Hosts, domains, addresses and networks that are reached without the proxy, separated by commas.
      - Can also be set by E(K8S_AUTH_NO_PROXY). For a proxy of E(HTTPS_PROXY) or E(HTTP_PROXY), and for no other, also
        by E(NO_PROXY).
    type: str
  proxy_headers:
    description: What to send to the proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description:
          - User and password for the proxy, with a colon between them.
          - Can also be set by E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH).
        type: str
      basic_auth:
        description:
          - User and password for an C(Authorization) header to the proxy, with a colon between them.
          - Can also be set by E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH).
        type: str
      user_agent:
        description:
          - What to call ourselves to the proxy.
          - Can also be set by E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
        type: str
  impersonate_user:
    description:
      - User to act as.
      - Can also be set by E(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description:
      - Groups to act as, beside O(impersonate_user).
      - Can also be set by E(K8S_AUTH_IMPERSONATE_GROUPS), separated by commas.
    type: list
    elements: str
notes:
  - An option comes before a C(K8S_AUTH_*) variable, and that before the kubeconfig. But a server and who we are to it
    belong together. If O(kubeconfig) or O(context) is set, the variables for a host, its certificates and credentials
    are ignored, and if O(host) is set, the variables for a kubeconfig.
  - Variables are those of the controller and, for a task, of its own C(environment).
"""
