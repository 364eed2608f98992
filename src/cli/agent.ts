import { type GossipOptions, type Profile, parseOption } from "../config.js";
import type { Message } from "../delegates.js";
import { parseTarget } from "../io/service.js";
import { GossipNode } from "../node.js";
import { obeyCommands } from "./commands.js";
import { jsonWriter, prettyWriter, textOf, type Write } from "./events.js";
import { type KeyFlags, readKeys, readPassphrase, reloadKeysOnSignal, wipe } from "./keys.js";
import { parseFlags, UsageError } from "./usage.js";

const flagTypes = {
  name: { type: "string" },
  bind: { type: "string", default: "127.0.0.1:7946" },
  join: { type: "string", multiple: true, default: [] as string[] },
  "key-file": { type: "string" },
  key: { type: "string" },
  keyring: { type: "string" },
  "passphrase-file": { type: "string" },
  commands: { type: "boolean", default: false },
  cluster: { type: "string" },
  profile: { type: "string" },
  meta: { type: "string" },
  log: { type: "string", default: "pretty" },
  set: { type: "string", multiple: true, default: [] as string[] },
} as const;

/** First wait before an address that could not be joined is tried again; doubles up to the last. */
const joinRetryMs = 500;
const joinRetryMaxMs = 10_000;
/** Signal to exit: the leave gets this long, so that the whole takes less than 5 s. */
const leaveMs = 3500;

/** `tattler agent`: one node in this process until it is told to stop. */
export async function runAgent(args: string[]): Promise<number> {
  const flags = parseFlags(args, flagTypes);
  const options = readOptions(flags);
  if (flags.log !== "json" && flags.log !== "pretty") {
    throw new UsageError(`--log ${flags.log} is not a format`, "give json or pretty");
  }
  // Would fail at every try otherwise.
  for (const address of flags.join ?? []) parseTarget(address, { defaultPort: 1 });
  const node = await GossipNode.create(options).finally(() => wipe(options.keys ?? []));
  const write = flags.log === "json" ? jsonWriter(node) : prettyWriter(node);
  listen(node, write);
  const stopping = new AbortController();
  // Before anybody is told that we are here, and may send a signal that would end us without ceremony.
  const stopped = stopOnSignal(node, write, stopping);
  reloadKeysOnSignal(node, keyFlagsOf(flags), stopping.signal);
  write("ready", node.self);
  if (flags.commands === true) obeyCommands(node, process.stdin, write, stopping.signal);
  void keepJoining(node, flags.join ?? [], stopping.signal);
  return stopped;
}

function listen(node: GossipNode, write: Write): void {
  for (const event of ["join", "update", "leave", "fail", "recover"] as const) {
    node.on(event, (member) => write(event, member));
  }
  node.on("message", (message) => write("message", node.member(message.from) ?? null, describe(message)));
  node.on("error", (error) => console.error(`tattler: ${error.message}`));
}

function describe(message: Message): Record<string, unknown> {
  const text = textOf(message.payload);
  const { from, reliable, direct } = message;
  if (text !== null) return { from, payload: text, encoding: "utf8", reliable, direct };
  return { from, payload: Buffer.from(message.payload).toString("base64"), encoding: "base64", reliable, direct };
}

// --- joining

/** Tries until an address answers; a node that is alone keeps looking. */
async function keepJoining(node: GossipNode, addresses: readonly string[], signal: AbortSignal): Promise<void> {
  for (
    let waitMs = joinRetryMs;
    addresses.length > 0 && !signal.aborted;
    waitMs = Math.min(waitMs * 2, joinRetryMaxMs)
  ) {
    try {
      await node.join(addresses, { signal });
      return;
    } catch (error) {
      if (signal.aborted) return;
      console.error(`tattler: ${(error as Error).message}; next try in ${waitMs} ms`);
      await pause(waitMs, signal);
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

// --- stopping

/** Leaves on the first SIGINT or SIGTERM; a second one ends the process at once. */
function stopOnSignal(node: GossipNode, write: Write, stopping: AbortController): Promise<number> {
  return new Promise((resolve) => {
    const stop = async (): Promise<void> => {
      if (stopping.signal.aborted) process.exit(1);
      stopping.abort();
      await node.leave({ timeoutMs: leaveMs });
      write("stopped", node.self, { stats: node.stats.counters, streams: node.stats.streams });
      await node.close();
      process.off("SIGINT", handle).off("SIGTERM", handle);
      resolve(0);
    };
    const handle = (): void => void stop();
    process.on("SIGINT", handle).on("SIGTERM", handle);
  });
}

// --- options

type Flags = ReturnType<typeof parseFlags<typeof flagTypes>>;

function readOptions(flags: Flags): GossipOptions {
  if (flags.name === undefined) throw new UsageError("--name is missing", "give the node a unique name");
  const set: Partial<GossipOptions> = {};
  for (const pair of flags.set ?? []) {
    const equals = pair.indexOf("=");
    if (equals < 1) throw new UsageError(`--set ${pair} is not option=value`, "for example --set gossipNodes=4");
    Object.assign(set, parseOption(pair.slice(0, equals), pair.slice(equals + 1)));
  }
  const keyFlags = keyFlagsOf(flags);
  const keys = readKeys(keyFlags);
  const passphrase = readPassphrase(keyFlags);
  return {
    ...set,
    name: flags.name,
    ...(flags.bind === undefined ? {} : { bind: flags.bind }),
    ...(keys.length === 0 ? {} : { keys }),
    ...(keyFlags.keyring === undefined ? {} : { keyringFile: keyFlags.keyring }),
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(flags.cluster === undefined ? {} : { cluster: flags.cluster }),
    ...(flags.profile === undefined ? {} : { profile: flags.profile as Profile }),
    ...(flags.meta === undefined ? {} : { meta: flags.meta }),
  };
}

function keyFlagsOf(flags: Flags): KeyFlags {
  const { key, keyring } = flags;
  return { key, keyFile: flags["key-file"], keyring, passphraseFile: flags["passphrase-file"] };
}
