import type { Member } from "./delegates.js";
import { tattlerError } from "./errors.js";
import type { CounterName, NodeStats } from "./node.js";

/** What the metrics are read from: a GossipNode is one. */
export interface MetricsSource {
  readonly stats: NodeStats;
  readonly self: Pick<Member, "name">;
}

/**
 * All counters and gauges in Prometheus' text format 0.0.4 (content type `text/plain; version=0.0.4`). Names and labels
 * are stable. Several nodes of a process go into one text, told apart by the label `node`; stats alone have none.
 *
 * What replaces memberlist's metrics. tcp.accept, tcp.connect: `tattler_streams_total{direction}`. tcp.sent,
 * size.local, size.remote: `tattler_stream_bytes_total{direction}`. udp.sent, udp.received:
 * `tattler_bytes_sent_total`, `tattler_bytes_received_total`. msg.alive, msg.suspect, msg.dead:
 * `tattler_records_received_total`; what they change is on the channels `tattler:state` and `tattler:suspicion`.
 * health.score, degraded.probe: `tattler_health_score`. degraded.timeout: `confirmations` below
 * `expectedConfirmations` on `tattler:suspicion`. probeNode: `rttMs` on `tattler:probe`. gossip:
 * `tattler_records_sent_total`. pushPullNode: `tattler_syncs_total{outcome}`. node.instances:
 * `tattler_members{state}`. queue.broadcasts: `tattler_queue_records{kind}`.
 *
 * @param source one node, several, or the stats of one.
 * @param labels put on every sample. Errors: TATTLER_ARGUMENT_INVALID for a name that Prometheus does not allow, or
 * that this text uses itself.
 */
export function prometheusText(
  source: MetricsSource | NodeStats | readonly MetricsSource[],
  labels: Readonly<Record<string, string>> = {},
): string {
  for (const name of Object.keys(labels)) checkLabel(name);
  const lines = new Map<FamilyName, string[]>();
  for (const one of Array.isArray(source) ? source : [source]) {
    const { stats, own } = "self" in one ? { stats: one.stats, own: { node: one.self.name } } : { stats: one, own: {} };
    for (const { family, labels: more, value } of samplesOf(stats)) {
      const known = lines.get(family) ?? [];
      if (known.length === 0) lines.set(family, known);
      known.push(`tattler_${family}${formatLabels({ ...labels, ...own, ...more })} ${formatValue(value)}\n`);
    }
  }
  return [...lines].map(([family, samples]) => headOf(family) + samples.join("")).join("");
}

type Labels = Readonly<Record<string, string>>;
/** A field's family, and its labels there. */
type Row = readonly [FamilyName, Labels?];

interface Sample {
  readonly family: FamilyName;
  readonly labels: Labels;
  readonly value: number;
}

/** Names without the prefix. Those that end in `_total` are counters, the others gauges. */
const families = {
  members: "Members known, by state.",
  cluster_members: "Members alive or suspected, this node included.",
  health_score: "Lifeguard's local health score; 0 is healthy.",
  queue_records: "Records and messages that wait to be gossiped.",
  remembered_dead: "Dead members that are tried again now and then.",
  reconnects_total: "Dead members tried again.",
  reconciliations_total: "Comparisons of views begun because a digest differed.",
  caught_up_total: "Records told to members that a digest showed to be just behind.",
  probes_total: "Probes started.",
  probes_failed_total: "Probes that nothing answered.",
  probes_inconclusive_total: "Probes without a verdict, because nothing was heard from anybody.",
  suspicions_total: "Members that this node began to suspect, whoever accused them.",
  refutations_total: "Accusations of this node that it refuted.",
  quarantines_total: "Times that this node stayed out of the cluster because its links were bad.",
  quarantined: "Whether it does now, 1 or 0.",
  name_conflicts_total: "Claims of a known name by another address.",
  claims_refused_total: "Claims about members that were ignored, by reason.",
  errands_refused_total: "Ping requests that this node did not serve.",
  syncs_total: "State syncs, by outcome.",
  refusals_handled_total: "Port-unreachable answers about known members.",
  drops_total: "Datagrams, records and broadcasts that were dropped, by reason.",
  broadcast_duplicates_total: "Copies of broadcasts that were not delivered again.",
  datagrams_sent_total: "Datagrams sent.",
  bytes_sent_total: "Bytes of datagrams sent.",
  send_batches_total: "System calls that sent datagrams.",
  send_errors_total: "Datagrams that the system did not take.",
  send_refused_total: "Sends that met the refusal of an earlier datagram, and were repeated.",
  transmit_ring_full_total: "Datagrams dropped because too many waited to be sent.",
  datagrams_received_total: "Datagrams received.",
  bytes_received_total: "Bytes of datagrams received.",
  receive_batches_total: "System calls that received datagrams.",
  instant_acks_total: "Pings that the I/O thread answered by itself.",
  stalled_pings_total: "Pings left unanswered because JavaScript was away for too long.",
  refusals_total: "Port-unreachable answers from the system.",
  refusals_unknown_total: "Port-unreachable answers about addresses that nobody here knows.",
  records_received_total: "Records in the datagrams that were opened.",
  records_queued_total: "Records queued to be gossiped.",
  records_replaced_total: "Queued records replaced by newer ones.",
  records_retired_total: "Queued records that were sent as often as they should.",
  records_pruned_total: "Queued records that made room for others.",
  records_sent_total: "Records sent in gossip.",
  frames_sealed_total: "Chunks of streams sealed.",
  frames_opened_total: "Chunks of streams opened.",
  frames_rejected_total: "Chunks of streams that could not be opened.",
  streams_total: "TCP exchanges begun, by direction.",
  stream_faults_total: "TCP exchanges that did not come to their end, by fault.",
  stream_bytes_total: "Bytes on TCP, by direction.",
  stream_bytes_saved_total: "Bytes that packing kept off TCP.",
} as const satisfies Readonly<Record<string, string>>;

type FamilyName = keyof typeof families;

/** Every field has a row: one that is new and has none does not compile. Counters named drop... have theirs by name. */
const counterRows: Record<Exclude<CounterName, `drop${string}`>, FamilyName> = {
  datagramsSent: "datagrams_sent_total",
  bytesSent: "bytes_sent_total",
  sendBatches: "send_batches_total",
  sendErrors: "send_errors_total",
  sendRefused: "send_refused_total",
  transmitRingFull: "transmit_ring_full_total",
  datagramsReceived: "datagrams_received_total",
  bytesReceived: "bytes_received_total",
  receiveBatches: "receive_batches_total",
  instantAcks: "instant_acks_total",
  stalledPings: "stalled_pings_total",
  refusals: "refusals_total",
  refusalsUnknown: "refusals_unknown_total",
  recordsReceived: "records_received_total",
  recordsQueued: "records_queued_total",
  recordsReplaced: "records_replaced_total",
  recordsRetired: "records_retired_total",
  recordsPruned: "records_pruned_total",
  recordsSent: "records_sent_total",
  framesSealed: "frames_sealed_total",
  framesOpened: "frames_opened_total",
  framesRejected: "frames_rejected_total",
};

const streamRows: Record<keyof NodeStats["streams"], Row> = {
  accepted: ["streams_total", { direction: "in" }],
  dialed: ["streams_total", { direction: "out" }],
  bytesIn: ["stream_bytes_total", { direction: "in" }],
  bytesOut: ["stream_bytes_total", { direction: "out" }],
  bytesSaved: ["stream_bytes_saved_total"],
  rejectedLimit: ["stream_faults_total", { fault: "limit" }],
  rejectedPeerLimit: ["stream_faults_total", { fault: "peer_limit" }],
  rejectedAddress: ["stream_faults_total", { fault: "address" }],
  rejectedHello: ["stream_faults_total", { fault: "hello" }],
  rejectedCluster: ["stream_faults_total", { fault: "cluster" }],
  rejectedSeal: ["stream_faults_total", { fault: "seal" }],
  rejectedMalformed: ["stream_faults_total", { fault: "malformed" }],
  rejectedOversized: ["stream_faults_total", { fault: "oversized" }],
  timedOut: ["stream_faults_total", { fault: "timeout" }],
  closedEarly: ["stream_faults_total", { fault: "closed_early" }],
  refused: ["stream_faults_total", { fault: "refused" }],
  refusedByPeer: ["stream_faults_total", { fault: "refused_by_peer" }],
  joinsUnconfirmed: ["stream_faults_total", { fault: "join_unconfirmed" }],
  handlerFailed: ["stream_faults_total", { fault: "handler" }],
  acceptFailed: ["stream_faults_total", { fault: "accept" }],
  dialFailed: ["stream_faults_total", { fault: "dial" }],
};

const statRows: Record<Exclude<keyof NodeStats, "counters" | "streams">, Row> = {
  members: ["cluster_members"],
  alive: ["members", { state: "alive" }],
  suspect: ["members", { state: "suspect" }],
  dead: ["members", { state: "dead" }],
  left: ["members", { state: "left" }],
  health: ["health_score"],
  queueDepth: ["queue_records", { kind: "membership" }],
  messageDepth: ["queue_records", { kind: "message" }],
  reconciliations: ["reconciliations_total"],
  caughtUp: ["caught_up_total"],
  remembered: ["remembered_dead"],
  reconnects: ["reconnects_total"],
  probes: ["probes_total"],
  failedProbes: ["probes_failed_total"],
  inconclusiveProbes: ["probes_inconclusive_total"],
  suspicionsRaised: ["suspicions_total"],
  refutations: ["refutations_total"],
  quarantines: ["quarantines_total"],
  quarantined: ["quarantined"],
  conflicts: ["name_conflicts_total"],
  incompatibleVersions: ["claims_refused_total", { reason: "incompatible_versions" }],
  impossibleVersions: ["claims_refused_total", { reason: "impossible_versions" }],
  disallowed: ["claims_refused_total", { reason: "disallowed" }],
  misnamed: ["claims_refused_total", { reason: "misnamed" }],
  errandsRefused: ["errands_refused_total"],
  syncsMerged: ["syncs_total", { outcome: "merged" }],
  syncsFailed: ["syncs_total", { outcome: "failed" }],
  refusals: ["refusals_handled_total"],
  duplicates: ["broadcast_duplicates_total"],
  unknownOrigins: ["drops_total", { reason: "unknown_origin" }],
};

const ownLabels = ["node", "state", "kind", "reason", "outcome", "direction", "fault"];

function samplesOf({ counters, streams, ...rest }: NodeStats): Sample[] {
  return [
    ...rowsOf(rest, statRows),
    ...Object.entries(counters).map(([name, value]) => counterSample(name as CounterName, value)),
    ...rowsOf(streams, streamRows),
  ];
}

function rowsOf<K extends string>(values: Readonly<Record<K, number>>, rows: Readonly<Record<K, Row>>): Sample[] {
  return Object.entries<Row>(rows).map(([key, [family, labels = {}]]) => ({ family, labels, value: values[key as K] }));
}

function counterSample(name: CounterName, value: number): Sample {
  const drop = /^drop([A-Z].*)$/.exec(name)?.[1];
  if (drop !== undefined) return { family: "drops_total", labels: { reason: snakeCase(drop) }, value };
  return { family: counterRows[name as keyof typeof counterRows], labels: {}, value };
}

function snakeCase(name: string): string {
  return name.replace(/(?<=.)[A-Z]/g, "_$&").toLowerCase();
}

function headOf(family: FamilyName): string {
  const type = family.endsWith("_total") ? "counter" : "gauge";
  return `# HELP tattler_${family} ${families[family]}\n# TYPE tattler_${family} ${type}\n`;
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return String(value).replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/"/g, '\\"');
}

function formatValue(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : `${value < 0 ? "-" : "+"}Inf`;
}

function checkLabel(name: string): void {
  if (/^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) && !ownLabels.includes(name)) return;
  const problem = `there can be no label ${JSON.stringify(name)}`;
  const remedy = `give names of letters, digits and _, other than ${ownLabels.join(", ")}`;
  throw tattlerError("TATTLER_ARGUMENT_INVALID", ["labels", problem, remedy]);
}
