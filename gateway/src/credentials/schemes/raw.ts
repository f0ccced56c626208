// A text as it is: `headers: { X-Api-Key: "${secret:key}" }`, or `{ raw: … }`.

import { putField } from '../field-transform.js'
import { type CredentialScheme, template } from '../scheme.js'

export const raw: CredentialScheme<string> = {
  form: template,
  create: (text, place, fill) => putField(place, fill(text)),
}
