// A text that the client has in the place of a secret, filled in wherever it stands in a field:
// `placeholders: { not-a-real-key: "${secret:key}" }`.

import type { Field } from '../../policy/transform.js'
import { fillPlaceholder, holdsPlaceholder } from '../placeholders.js'
import { type CredentialScheme, template } from '../scheme.js'

/** The text itself: it goes wherever the client has put it. */
export interface PlaceholderPlace {
  readonly placeholder: string
}

export const placeholder: CredentialScheme<string, PlaceholderPlace> = {
  form: template,
  create(text, { placeholder }, fill) {
    const value = fill(text)
    value.assertHeaderText()
    const fillIn = (fields: readonly Field[], read: () => string) => {
      return fields.map((field): Field => {
        const [name, found] = field
        return holdsPlaceholder(found, placeholder) ? [name, fillPlaceholder(found, placeholder, read())] : field
      })
    }
    return {
      placeholder,
      apply: ({ fields }) => fillIn(fields, () => value.reveal()),
      strip: (fields) => fillIn(fields, () => ''),
      refresh: () => value.refresh(),
    }
  },
}
