// What the config may have for the value of a header field: a text, or one scheme by its key.

import { z } from 'zod'
import type { Transform } from '../policy/transform.js'
import type { CredentialScheme, FieldPlace, FillTemplate } from './scheme.js'
import { basic } from './schemes/basic.js'
import { bearer } from './schemes/bearer.js'
import { raw } from './schemes/raw.js'

/** A credential as the config has it, ready to be put in a place. @throws {SecretError} */
export type FieldCredential = (place: FieldPlace, fill: FillTemplate) => Transform

/** The forms of all schemes. */
export const fieldCredential: z.ZodType<FieldCredential> = z.union(
  [formOf(raw), keyed('bearer', bearer), keyed('basic', basic), keyed('raw', raw)],
  { error: 'must be text, { bearer }, { basic: { user, password } } or { raw }' },
)

function formOf<Form>({ form, create }: CredentialScheme<Form>): z.ZodType<FieldCredential> {
  return form.transform(
    (value): FieldCredential =>
      (place, fill) =>
        create(value, place, fill),
  )
}

function keyed<Form>(key: string, { form, create }: CredentialScheme<Form>): z.ZodType<FieldCredential> {
  const object = z.strictObject({ [key]: form })
  return object.transform(
    (value): FieldCredential =>
      (place, fill) =>
        create(value[key] as Form, place, fill),
  )
}
