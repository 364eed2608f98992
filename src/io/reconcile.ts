/** The two ends of a comparison of views (ARCHITECTURE 5.11), between streams and the core. */
import { randomBytes } from "node:crypto";
import type { Config } from "../config.js";
import type { Driver } from "./driver.js";
import type { Host } from "./host.js";
import { logFailure, logRefusal } from "./log.js";
import type { DigestAnswer } from "./stream_server.js";
import type { Streams } from "./streams.js";

/** Asks a member to compare; what fails is tried again when digests next differ. */
export async function reconcileWith(
  node: Host,
  driver: Driver,
  streams: Streams,
  config: Config,
  to: { readonly host: string; readonly port: number },
): Promise<void> {
  const { sync } = node.swim;
  const salt = randomBytes(4).readUInt32LE();
  try {
    await streams.reconcile(to.host, to.port, {
      salt,
      fingerprints: () => sync.fingerprints(salt),
      merge: (peer, records, wanted) => {
        const accepted = node.application.vet(peer, records, false);
        if (typeof accepted === "string") {
          logRefusal(node.log, peer, accepted);
          return [];
        }
        if (node.isClosed) return [];
        driver.perform(node, (nowMs) => node.swim.handleSync(nowMs, peer, accepted));
        return sync.recordsOf(salt, wanted);
      },
      timeoutMs: config.streamTimeoutMs,
    });
  } catch (error) {
    if (node.isClosed) return;
    driver.perform(node, () => node.swim.handleSyncFailed());
    const { host, port } = to;
    logFailure(node.log, "sync_failed", host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`, error);
  }
}

/** What the other end gets, and what becomes of the records that it sends then. */
export function answerDigest(
  driver: Driver,
  node: Host | null,
  peer: string,
  salt: number,
  fingerprints: Uint32Array,
): DigestAnswer {
  if (node === null || node.isClosed) return { refuse: "the node is starting or closing" };
  return {
    merge: (records) => {
      const accepted = node.application.vet(peer, records, false);
      if (typeof accepted === "string") return logRefusal(node.log, peer, accepted);
      if (!node.isClosed) driver.perform(node, (nowMs) => node.swim.handleSync(nowMs, peer, accepted));
    },
    ...node.swim.sync.compare(salt, fingerprints),
  };
}
