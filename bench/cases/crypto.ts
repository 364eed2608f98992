import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { encodeTurn } from "../../src/wire/frames.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import { type CaseOptions, type Comparison, compare } from "../comparison.js";
import { freshKeyring, openBenchHub, openEndpoint } from "../hub.js";
import { inRounds } from "../rounds.js";

const sizes = [64, 200, 1400];
const batch = 100;

/** Sealing and opening one packet with AES-256-GCM: through the addon, and with node:crypto. */
export async function crypto(options: CaseOptions): Promise<Comparison[]> {
  const memory = openBenchHub("manual");
  const keyring = freshKeyring();
  const [a, b] = [openEndpoint(memory, "a", keyring), openEndpoint(memory, "b", keyring)];
  const context = new Uint8Array(0);
  const comparisons: Comparison[] = [];
  for (const bytes of sizes) {
    const frame = frameOf(bytes);
    const rounds = await inRounds(options, batch, {
      ours: () => {
        for (let i = 0; i < batch; i++) {
          if (typeof b.open(a.seal(frame, context), context) === "number") throw new Error("refused");
        }
      },
      theirs: nodeCrypto(frame),
    });
    const metric = { case: "crypto", metric: `seal + open ${frame.length} B`, unit: "ns", better: "lower" } as const;
    comparisons.push(compare(metric, rounds.ours, "node:crypto", rounds.theirs));
  }
  memory.hub.close();
  return comparisons;
}

/** A valid Frame (the addon verifies what it opens) of about so many bytes. */
function frameOf(bytes: number): Uint8Array {
  const head = { kind: FrameKind.message, cluster: "c", source: "s" };
  const overheadBytes = 56;
  const [frame] = encodeTurn(head, [], new Uint8Array(Math.max(0, bytes - overheadBytes)));
  if (frame === undefined) throw new Error("no frame");
  return frame.slice();
}

function nodeCrypto(packet: Uint8Array): () => void {
  const key = randomBytes(32);
  const nonce = randomBytes(12);
  let counter = 0;
  return () => {
    for (let i = 0; i < batch; i++) {
      nonce.writeUInt32LE(counter++ >>> 0, 8);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      const sealed = Buffer.concat([cipher.update(packet), cipher.final()]);
      const decipher = createDecipheriv("aes-256-gcm", key, nonce);
      decipher.setAuthTag(cipher.getAuthTag());
      Buffer.concat([decipher.update(sealed), decipher.final()]);
    }
  };
}
