"""What signs and verifies bytes: suites, keys, signers.

```
suites.py    the allow-list, one entry each
keys.py      PublicKey, SigningKey, Signer; JWK, COSE_Key, PEM, thumbprints
keyfile.py   PKCS#8 and its encryption, SubjectPublicKeyInfo
ecdsa.py eddsa.py mldsa.py hybrid.py   arithmetic by `cryptography`
sm2.py       SM2: `libcrypto` and `sm2_tables` behind one door; sm3.py its hash
x509.py      certificate chains, SM2 included
pkcs11.py    a Signer on a PKCS#11 token                                         [extra: pkcs11]
```
"""

from ewallet.keys.keys import PublicKey, Signer, SigningKey, raw_signature, sign_many
from ewallet.keys.suites import HYBRID, SUITES, TRUST_SUITES, Suite, suite_named

__all__ = [
    "HYBRID",
    "SUITES",
    "TRUST_SUITES",
    "PublicKey",
    "Signer",
    "SigningKey",
    "Suite",
    "raw_signature",
    "sign_many",
    "suite_named",
]
