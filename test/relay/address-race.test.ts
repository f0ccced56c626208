// Which addresses are tried, in which order and when; what opens is the test's own. Real ones: dead-address.long.test.ts.

import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { test } from 'node:test'
import { type AddressOpener, orderAddresses, raceAddresses } from '#src/runtime/address-race.js'

const [A, B, C, D] = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '2001:db8::1']

const found = (...addresses: string[]): LookupAddress[] =>
  addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))

const failure = (code: string): Error => Object.assign(new Error(code), { code })

/** Addresses that open and fail when the test says so. */
class Attempts implements AddressOpener<string> {
  readonly begun: string[] = []
  readonly dropped: string[] = []
  readonly #open = new Map<string, { resolve(): void; reject(error: Error): void; signal: AbortSignal }>()
  #onBegun: (() => void) | undefined

  open(address: string, signal: AbortSignal): Promise<string> {
    this.begun.push(address)
    return new Promise((resolve, reject) => {
      this.#open.set(address, { resolve: () => resolve(`to ${address}`), reject, signal })
      this.#onBegun?.()
    })
  }

  drop(opened: string): void {
    this.dropped.push(opened)
  }

  of(address: string) {
    const attempt = this.#open.get(address)
    assert.ok(attempt !== undefined, `${address} is not tried`)
    return attempt
  }

  /** Resolves when so many have been begun. */
  async count(count: number): Promise<void> {
    while (this.begun.length < count) await new Promise<void>((resolve) => (this.#onBegun = resolve))
  }
}

const never = new AbortController().signal

test('the families take turns, in the order of the resolver', () => {
  assert.deepEqual(orderAddresses(found(D, '2001:db8::2', '2001:db8::3', A)), [D, A, '2001:db8::2', '2001:db8::3'])
  assert.deepEqual(orderAddresses(found(A, D, B, C)), [A, D, B, C])
  assert.deepEqual(orderAddresses(found(A, D, '2001:db8::2')), [A, D, '2001:db8::2'])
  assert.deepEqual(orderAddresses(found(A, A)), [A])
})

test('a preferred address comes first, unless it is not of the name any more', () => {
  assert.deepEqual(orderAddresses(found(A, D, B), B), [B, A, D])
  assert.deepEqual(orderAddresses(found(A, D), B), [A, D])
})

test('the next address is begun while the one before is silent, and that one is not given up', async () => {
  const attempts = new Attempts()
  const start = performance.now()
  const race = raceAddresses([A, B, C], attempts, never)
  assert.deepEqual(attempts.begun, [A])
  await attempts.count(3)
  assert.ok(performance.now() - start >= 2 * 245, 'it came too early')
  assert.equal(attempts.of(A).signal.aborted, false)
  attempts.of(A).resolve()
  assert.deepEqual(await race, { address: A, opened: `to ${A}` })
  assert.deepEqual([attempts.of(B).signal.aborted, attempts.of(C).signal.aborted], [true, true])
})

test('the next address is begun at once when one fails; what the server said is reported', async () => {
  const attempts = new Attempts()
  const race = raceAddresses([D, A, B], attempts, never)
  attempts.of(D).reject(failure('ENETUNREACH'))
  await attempts.count(2)
  attempts.of(A).reject(failure('ECONNREFUSED'))
  await attempts.count(3)
  attempts.of(B).reject(failure('ECONNRESET'))
  await assert.rejects(race, { code: 'ECONNREFUSED' })
})

test('an address that opens is enough, and no other is begun', async () => {
  const attempts = new Attempts()
  const race = raceAddresses([A, B], attempts, never)
  attempts.of(A).resolve()
  await race
  assert.deepEqual(attempts.begun, [A])
})

test('what opens after another one is dropped', async () => {
  const attempts = new Attempts()
  const race = raceAddresses([A, B], attempts, never)
  await attempts.count(2)
  attempts.of(B).resolve()
  attempts.of(A).resolve()
  assert.equal((await race).address, B)
  await Promise.resolve()
  assert.deepEqual(attempts.dropped, [`to ${A}`])
})

test('a race that is given up rejects at once, begins nothing more and drops what comes', async () => {
  const attempts = new Attempts()
  const dial = new AbortController()
  const race = raceAddresses([A, B], attempts, dial.signal)
  dial.abort(new Error('given up'))
  await assert.rejects(race, { message: 'given up' })
  assert.equal(attempts.of(A).signal.aborted, true)
  attempts.of(A).resolve()
  await new Promise(setImmediate)
  assert.deepEqual([attempts.begun, attempts.dropped], [[A], [`to ${A}`]])
})

test('sixteen addresses are tried at most', async () => {
  const attempts = new Attempts()
  const addresses = Array.from({ length: 20 }, (_, index) => `192.0.2.${index}`)
  const race = raceAddresses(addresses, attempts, never)
  for (let index = 0; index < 16; index++) {
    await attempts.count(index + 1)
    attempts.of(`192.0.2.${index}`).reject(failure('ECONNREFUSED'))
  }
  await assert.rejects(race, { code: 'ECONNREFUSED' })
  assert.equal(attempts.begun.length, 16)
})
