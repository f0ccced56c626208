// The life of one tunnel, as states and events without I/O and without timers.
//
// Rules:
// - reading-head: the client's CONNECT head is coming in. Nothing is known to the gateway yet.
// - dialling: the head was good; the WebSocket to the gateway is being opened.
// - waiting-for-answer: the first chunk has gone out; the gateway's status line has not come in.
// - open: the gateway said 200. From its first byte on the client only ever gets the gateway's bytes, so a failure can
//   no longer be told in words: it is a reset, and a normal end is a FIN.
// - half-closed: as open, but the client has sent its FIN, and the far side was told. The download goes on until the far side ends
//   it or nothing moves for the linger time, which is shorter for TLS: its clients do not half-close.
// - half-closed-remote: as open, but the far side has ended its direction, and the client has got a FIN. The upload goes on.
// - refused: the gateway said something other than 200; its words go to the client, nothing more goes up.
// - ending: the last bytes are on their way to the client, then a FIN; what the client still sends is thrown away.
// - closed: both sides are let go.
//
// A client's FIN before the answer changes nothing yet (a client may send all it has and then FIN): the tunnel remembers
// it and reports it again once it is open. A pair that the table does not name is a defect of the caller.

/** Every state of a tunnel, in the order of a life without trouble. */
export type TunnelState =
  | 'reading-head'
  | 'dialling'
  | 'waiting-for-answer'
  | 'open'
  | 'half-closed'
  | 'half-closed-remote'
  | 'refused'
  | 'ending'
  | 'closed'

/** What can happen to a tunnel. */
export type TunnelEvent =
  /** A whole, good CONNECT head has come in. */
  | 'head'
  /** The WebSocket is open and the first chunk is on its way. */
  | 'dialled'
  /** The gateway's answer begins, and it is a 200. */
  | 'answer-open'
  /** The gateway's answer begins, and it is another one. */
  | 'answer-refusal'
  /** The relay itself answers the client with an error. */
  | 'refuse'
  /** FIN from the client. */
  | 'client-end'
  /** The client's connection is gone. */
  | 'client-gone'
  /** The far side sends no more. */
  | 'remote-end'
  /** The gateway closed the WebSocket as one does. */
  | 'gateway-end'
  /** The WebSocket broke, or what came over it cannot be trusted. */
  | 'gateway-lost'
  /** Everything has been handed to the client, or it was waited for long enough. */
  | 'done'
  /** A time limit has passed. */
  | 'expire'

/** The whole table: state × event → state. */
export const TUNNEL_TRANSITIONS: Readonly<Record<TunnelState, Readonly<Partial<Record<TunnelEvent, TunnelState>>>>> = {
  'reading-head': { head: 'dialling', refuse: 'ending', 'client-end': 'closed', 'client-gone': 'closed' },
  dialling: { dialled: 'waiting-for-answer', refuse: 'ending', 'client-end': 'dialling', 'client-gone': 'closed' },
  'waiting-for-answer': {
    'answer-open': 'open',
    'answer-refusal': 'refused',
    refuse: 'ending',
    'client-end': 'waiting-for-answer',
    'client-gone': 'closed',
  },
  open: {
    'client-end': 'half-closed',
    'client-gone': 'closed',
    'remote-end': 'half-closed-remote',
    'gateway-end': 'ending',
    'gateway-lost': 'closed',
    expire: 'closed',
  },
  'half-closed': {
    'client-gone': 'closed',
    'remote-end': 'ending',
    'gateway-end': 'ending',
    'gateway-lost': 'closed',
    expire: 'closed',
  },
  'half-closed-remote': {
    'client-end': 'ending',
    'client-gone': 'closed',
    'gateway-end': 'ending',
    'gateway-lost': 'closed',
    expire: 'closed',
  },
  refused: {
    'client-end': 'refused',
    'client-gone': 'closed',
    'remote-end': 'ending',
    'gateway-end': 'ending',
    'gateway-lost': 'ending',
    expire: 'ending',
  },
  ending: { 'client-end': 'ending', 'client-gone': 'closed', done: 'closed', expire: 'closed' },
  closed: {},
}

/** The state after `event`; throws when the table has no such pair. */
export function nextTunnelState(state: TunnelState, event: TunnelEvent): TunnelState {
  const next = TUNNEL_TRANSITIONS[state][event]
  if (next === undefined) throw new Error(`a tunnel that is ${state} cannot meet ${event}`)
  return next
}
