// The transforms that are about one header field: a value is put there, or the field is taken away. `_` is read as `-`
// in the client's own fields, because CGI-like origins do.

import { looseName } from '../fields.js'
import type { Field, Transform } from '../policy/transform.js'
import type { FieldPlace } from './scheme.js'
import type { FilledTemplate } from './secrets/filled-template.js'

/**
 * Puts `value` at `place`, in the stead of the client's own.
 * @throws {SecretError} when it is no value that a header may have
 */
export function putField({ kind, name }: FieldPlace, value: FilledTemplate): Transform {
  value.assertHeaderText()
  return {
    apply({ fields }) {
      const others = withoutField(fields, name)
      if (kind === 'replace' && others.length === fields.length) return fields
      const { text, secrets } = value.now()
      return [...others, [name, text, secrets]]
    },
    strip: (fields) => withoutField(fields, name),
    refresh: () => value.refresh(),
  }
}

/** Takes the field away. */
export function removeField(name: string): Transform {
  const strip = (fields: readonly Field[]) => withoutField(fields, name)
  return { apply: ({ fields }) => strip(fields), strip, refresh: async () => {} }
}

function withoutField(fields: readonly Field[], name: string): readonly Field[] {
  return fields.filter((field) => looseName(field[0]) !== looseName(name))
}
