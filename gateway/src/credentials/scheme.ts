// What a kind of credential is: the form that it has in the config, and the transform of a request's header that it
// becomes. Each kind is one file of schemes/; those that a header field may have are listed in field-credential.ts.
//
// Rules:
// - A scheme reads its secrets when a request comes, never before: they change while the gateway runs.
// - It may use the whole head (to sign it) and may wait (to fetch a token). It does not see the body, which is streamed.

import { z } from 'zod'
import type { Transform } from '../policy/transform.js'
import type { FilledTemplate } from './secrets/filled-template.js'

/** One kind of credential. `Form` is what the config has for it, `Place` where in a request it goes. */
export interface CredentialScheme<Form, Place = FieldPlace> {
  readonly form: z.ZodType<Form>
  /** @throws {SecretError} when a secret cannot be had, or is no value that a header may have */
  create(form: Form, place: Place, fill: FillTemplate): Transform
}

/** A header field, by its name as the config spells it. `replace` is only for requests that have it already. */
export interface FieldPlace {
  readonly kind: 'set' | 'replace'
  readonly name: string
}

/** Fills the secrets in that a template of the config names. @throws {SecretError} */
export type FillTemplate = (template: string) => FilledTemplate

/** The form of a text that secrets are filled into. */
export const template = z
  .string({ error: 'must be text (quote it if it looks like a number)' })
  .min(1, 'must not be empty')
