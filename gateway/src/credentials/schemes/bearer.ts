// RFC 6750, section 2.1: `headers: { Authorization: { bearer: "${secret:token}" } }`.

import { putField } from '../field-transform.js'
import { type CredentialScheme, template } from '../scheme.js'

export const bearer: CredentialScheme<string> = {
  form: template,
  create: (token, place, fill) => putField(place, fill(`Bearer ${token}`)),
}
