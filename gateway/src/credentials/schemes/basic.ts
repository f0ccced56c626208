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
    const sources = [...user.sources, ...password.sources]
    const join = (secrets: readonly string[]) => {
      const ofPassword = secrets.slice(user.sources.length)
      return basicCredential(user.join(secrets), password.join(ofPassword))
    }
    // Not `user:password`: of that, only what comes from a secret is one.
    const derive = (text: string) => [text.slice('Basic '.length)]
    return putField(place, new FilledTemplate({ sources, join, derive }))
  },
}

export function basicCredential(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
