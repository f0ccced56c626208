# Lists the secrets of a Vault: python3 vault-client.py URL. The method is LIST.

import os
import sys

import hvac

client = hvac.Client(url=sys.argv[1], token=os.environ["API_TOKEN"])
print(client.secrets.kv.v2.list_secrets(path="team")["data"]["keys"])
