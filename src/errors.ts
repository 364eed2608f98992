/**
 * Every error tattler throws: a code, what happened, and what to do about it.
 * Codes are never reused. Unless a row says otherwise, the call that threw changed nothing.
 */
const table = {
  TATTLER_OPTION_INVALID: {
    message: "option %s: %s",
    remedy: "%s",
  },
  TATTLER_OPTION_UNKNOWN: {
    message: "there is no option %s",
    remedy: "check the spelling; the known options are: %s",
  },
  TATTLER_ARGUMENT_INVALID: {
    message: "argument %s: %s",
    remedy: "%s",
  },
  TATTLER_KEY_INVALID: {
    message: "the key %s",
    remedy: "give 16, 24 or 32 bytes, or the id of a key as keyring.list() shows it",
  },
  TATTLER_KEY_UNKNOWN: {
    message: "key %s is not in the keyring",
    remedy: "add it first, here and on every other node",
  },
  TATTLER_KEY_PRIMARY: {
    message: "key %s is the one this node seals with",
    remedy: "use another one first, on every node, then remove this one",
  },
  TATTLER_KEYRING_OFF: {
    message: "the node was created without keys",
    remedy:
      "create it with keys; to encrypt a running cluster restart its nodes with keys and with verifyIncoming and " +
      "encryptOutgoing false first",
  },
  TATTLER_KEYRING_UNREADABLE: {
    message: "the keyring file %s cannot be read: %s",
    remedy: "check the path and its permissions; a new file is made when keys are given as well",
  },
  TATTLER_KEYRING_DAMAGED: {
    message: "the keyring file %s cannot be opened: %s",
    remedy: "check the passphrase; restore the file from another node's, or make a new one from the cluster's key",
  },
  TATTLER_KEYRING_UNWRITABLE: {
    message: "the keyring file %s cannot be written: %s",
    remedy: "the file and the keys are as they were; make room or mend the permissions, then try again",
  },
  TATTLER_LEFT: {
    message: "the node has left the cluster",
    remedy: "close it and create a new one; until then it only passes on what it hears",
  },
  TATTLER_ADDON_MISSING: {
    message: "the native addon could not be loaded: %s",
    remedy:
      "there is no prebuilt binary for this platform, so it must be compiled: install Python 3, make and g++ 10 " +
      "or later (Debian: apt-get install python3 make g++; macOS: xcode-select --install), then run " +
      "`npm rebuild tattler` (from a clone: `npm run build`)",
  },
  TATTLER_BIND_FAILED: {
    message: "cannot bind %s: %s",
    remedy: "choose a free port (0 lets the system pick one) and an address of this machine",
  },
  TATTLER_JOIN_FAILED: {
    message: "no address could be joined: %s",
    remedy: "give the address of at least one running member of this cluster",
  },
  TATTLER_MEMBER_UNKNOWN: {
    message: "there is no member or address %s",
    remedy: "give the name of a member that this node knows, or an address as ip:port",
  },
  TATTLER_PING_TIMEOUT: {
    message: "%s did not answer a ping within %s ms",
    remedy: "ask again, with more timeoutMs; one lost datagram says little, so look at the state of the member too",
  },
  TATTLER_DATAGRAM_TOO_LARGE: {
    message: "%s bytes are more than the %s bytes that fit a datagram",
    remedy: "send it to one member with { reliable: true }, send less, or raise datagramBytes on every node",
  },
  TATTLER_BUSY: {
    message: "the send queue of this process is full",
    remedy: "send more slowly; datagrams leave as fast as the system takes them",
  },
  TATTLER_BACKLOG_FULL: {
    message: "%s reliable messages wait for %s already",
    remedy: "await each send() or a few at a time, send less often, or raise maxQueuedSends",
  },
  TATTLER_CLOSED: {
    message: "the node is closed",
    remedy: "create a new node; a closed one does not come back",
  },
  TATTLER_ADDRESS_INVALID: {
    message: "invalid address %s: %s",
    remedy: "write host, host:port, [ipv6]:port or name/host:port, for example 10.0.0.7:7946",
  },
  TATTLER_ADDRESS_UNRESOLVED: {
    message: "cannot resolve %s: %s",
    remedy: "check the spelling and the name server of this machine, or give an IP address",
  },
  TATTLER_ADVERTISE_MISSING: {
    message: "no address of this machine can be advertised for %s",
    remedy: "bring a network interface up, bind to one address, or name the address to advertise",
  },
  TATTLER_INTERFACES_UNREADABLE: {
    message: "cannot list the network interfaces of this machine: %s",
    remedy:
      "most likely this process has no file descriptor left (error 24): raise the limit (ulimit -n) or open less; or " +
      "bind to one address, or name the address to advertise",
  },
  TATTLER_ADDRESS_DISALLOWED: {
    message: "%s is outside the allow list of this node",
    remedy: "add its network to allow, or join through a member that is inside",
  },
  TATTLER_ABORTED: {
    message: "what was under way with %s was aborted by its signal",
    remedy: "the reason given to abort() is this error's cause; call again when you want it after all",
  },
  TATTLER_STREAM_UNREACHABLE: {
    message: "cannot connect to %s: %s",
    remedy: "check that a node runs there, that the port is its own, and that TCP passes the firewall",
  },
  TATTLER_STREAM_TIMEOUT: {
    message: "no complete answer from %s: %s",
    remedy: "check the load and the network path of that node, or allow more time",
  },
  TATTLER_STREAM_BUSY: {
    message: "%s closed the connection before its hello: %s",
    remedy:
      "it serves as many streams as it allows, or is shutting down: try again, or try another member; or this node's " +
      "address is outside its allow list",
  },
  TATTLER_STREAM_HELLO: {
    message: "%s did not answer as a tattler node: %s",
    remedy: "check the port; another program, or a version of tattler that is too new or too old, listens there",
  },
  TATTLER_CLUSTER_MISMATCH: {
    message: "%s belongs to another cluster: %s",
    remedy: "give both nodes the same cluster name, or join through a member of your own cluster",
  },
  TATTLER_NAME_MISMATCH: {
    message: "another member answers at %s: %s",
    remedy: "correct the name before / or the address after it, or leave the name out to take whoever is there",
  },
  TATTLER_STREAM_CLOSED: {
    message: "%s closed the connection without an answer: %s",
    remedy:
      "most likely it could not open what we sent: check for a key mismatch (both nodes need our primary key in " +
      "their keyring, or neither a key), then for a cluster name mismatch; its stream counters tell which",
  },
  TATTLER_STREAM_UNSEALED: {
    message: "the answer of %s could not be opened: %s",
    remedy: "check for a key mismatch: its primary key must be in our keyring",
  },
  TATTLER_STREAM_MALFORMED: {
    message: "the answer of %s makes no sense: %s",
    remedy: "run the same version of tattler on both nodes; report it as a defect if they are the same",
  },
  TATTLER_STREAM_OVERSIZED: {
    message: "the answer of %s is too large: %s",
    remedy: "raise maxSyncRecords, maxMessageBytes or maxExchangeBytes on this node",
  },
  TATTLER_STREAM_REFUSED: {
    message: "%s refused the exchange, remote error: %s",
    remedy: "the reason is the other node's; fix it there or do without this exchange",
  },
  TATTLER_JOIN_REFUSED: {
    message: "%s refused the join, remote error: %s",
    remedy: "the reason is the other node's (a merge or alive veto, or a limit); fix it there or join elsewhere",
  },
  TATTLER_MESSAGE_TOO_LARGE: {
    message: "%s bytes are more than the %s bytes that one exchange may carry",
    remedy: "send less at a time, or raise maxMessageBytes on every node",
  },
} as const;

export type ErrorCode = keyof typeof table;

/** The one error class. `code` is stable and meant for programs, `remedy` is meant for people. */
export class TattlerError extends Error {
  override readonly name = "TattlerError";
  readonly code: ErrorCode;
  readonly remedy: string;

  constructor(code: ErrorCode, message: string, remedy: string, options?: ErrorOptions) {
    super(`${message}; ${remedy}`, options);
    this.code = code;
    this.remedy = remedy;
  }
}

/**
 * Builds the error of a table row. `details` fill the `%s` places of the message, then of the remedy, in order.
 */
export function tattlerError(code: ErrorCode, details: readonly string[] = [], cause?: unknown): TattlerError {
  const row = table[code];
  let next = 0;
  const fill = (text: string): string => text.replace(/%s/g, () => details[next++] ?? "?");
  const message = fill(row.message);
  const remedy = fill(row.remedy);
  return new TattlerError(code, message, remedy, cause === undefined ? undefined : { cause });
}
