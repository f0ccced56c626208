// RFC 7617, section 2: `headers: { Authorization: { basic: { user: git, password: "${secret:token}" } } }`.

import { z } from 'zod'
import { putField } from '../field-transform.js'
import { type CredentialScheme, template } from '../scheme.js'
import { FilledTemplate } from '../secrets/filled-template.js'

interface UserAndPassword {
  readonly user: string
  readonly password: string
}

export const basic: CredentialScheme<UserAndPassword> = {
  form: z.strictObject({ user: template, password: template }),
  create(form, place, fill) {
    const [user, password] = [fill(form.user), fill(form.password)]
    const read = () => basicCredential(user.reveal(), password.reveal())
    return putField(place, new FilledTemplate(read, [...user.sources, ...password.sources]))
  },
}

export function basicCredential(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
