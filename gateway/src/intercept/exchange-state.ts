// The life of one intercepted request, as states and events without I/O and without timers.
//
// Rules:
// - checking: the head is there; nothing is known to the origin.
// - dialling: the head passed every check; a connection to the origin is being opened, and the body waits.
// - asking: the request goes to the origin; no final answer has begun.
// - renewing: the origin answered 401 to a request that can be sent again; its credentials are being renewed. When they cannot be,
//   the 401 is the answer, and is cut off where the origin has left meanwhile.
// - answering: the head of the origin's answer went to the client. From here on the client only ever gets the origin's bytes,
//   so that a failure cuts the answer off, and a truncated body never looks whole.
// - switched: the origin answered 101; bytes go both ways, and are no HTTP any more.
// - ending: all that the client will get is on its way to it: the whole answer, or a refusal of our own.
// - done: both sides are let go, and the audit has its line.
//
// An event that the table does not name is a defect of the caller, and ends the tunnel.

/** Every state of a request, in the order of a life without trouble. */
export type ExchangeStateName =
  | 'checking'
  | 'dialling'
  | 'asking'
  | 'renewing'
  | 'answering'
  | 'switched'
  | 'ending'
  | 'done'

/** What can happen to a request. */
export type ExchangeEvent =
  /** The request may be sent. */
  | 'pass'
  /** A connection to the origin is there. */
  | 'open'
  /** The origin never processed the request, or has a newer credential to see: it is sent once more. */
  | 'retry'
  /** The origin answered 401, and the credentials can be renewed. */
  | 'renew'
  /** The origin left in the middle of its 401. */
  | 'lose'
  /** The head of the final answer goes to the client. */
  | 'answer'
  /** The origin agreed to another protocol. */
  | 'switch'
  /** One side is done with the other protocol. */
  | 'half-close'
  /** The answer is whole, or the other protocol is over. */
  | 'finish'
  /** The gateway answers in the place of the origin. */
  | 'refuse'
  /** The answer breaks off. */
  | 'cut'
  /** The client's side is closed: it has all of it, or is gone. */
  | 'close'

/** The whole table: state × event → state. */
export const EXCHANGE_TRANSITIONS: Readonly<
  Record<ExchangeStateName, Readonly<Partial<Record<ExchangeEvent, ExchangeStateName>>>>
> = {
  checking: { pass: 'dialling', refuse: 'ending', close: 'done' },
  dialling: { open: 'asking', retry: 'dialling', refuse: 'ending', close: 'done' },
  asking: {
    retry: 'dialling',
    renew: 'renewing',
    answer: 'answering',
    switch: 'switched',
    refuse: 'ending',
    close: 'done',
  },
  renewing: { lose: 'renewing', retry: 'dialling', answer: 'answering', refuse: 'ending', close: 'done' },
  answering: { finish: 'ending', cut: 'ending', close: 'done' },
  switched: { 'half-close': 'switched', finish: 'ending', cut: 'ending', close: 'done' },
  ending: { close: 'done' },
  done: {},
}

/** The state after `event`; throws when the table has no such pair. */
export function nextExchangeState(state: ExchangeStateName, event: ExchangeEvent): ExchangeStateName {
  const next = EXCHANGE_TRANSITIONS[state][event]
  if (next === undefined) throw new Error(`an exchange that is ${state} cannot take ${event}`)
  return next
}
