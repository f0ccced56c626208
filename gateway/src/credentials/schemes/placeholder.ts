// A text that the client has in the place of a secret, filled in wherever it stands in a field:
// `placeholders: { not-a-real-key: "${secret:key}" }`.

import type { Field } from '../../policy/transform.js'
import { fillPlaceholder, holdsPlaceholder } from '../placeholders.js'
import { type CredentialScheme, template } from '../scheme.js'
import type { FilledText } from '../secrets/filled-template.js'

/** The text itself: it goes wherever the client has put it. */
export interface PlaceholderPlace {
  readonly placeholder: string
}

export const placeholder: CredentialScheme<string, PlaceholderPlace> = {
  form: template,
  create(text, { placeholder }, fill) {
    const value = fill(text)
    value.assertHeaderText()
    const fillIn = (fields: readonly Field[], read: () => FilledText) => {
      return fields.map((field): Field => {
        const [name, found, secretsBefore = []] = field
        if (!holdsPlaceholder(found, placeholder)) return field
        const { text, secrets } = read()
        return [name, fillPlaceholder(found, placeholder, text), [...secretsBefore, ...secrets]]
      })
    }
    return {
      placeholder,
      apply: ({ fields }) => fillIn(fields, () => value.now()),
      strip: (fields) => fillIn(fields, () => ({ text: '', secrets: [] })),
      refresh: () => value.refresh(),
    }
  },
}
