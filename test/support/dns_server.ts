/** A name server on loopback that knows what a test tells it. */
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { parseIp } from "../../src/io/address.js";
import { closeLater } from "./nodes.js";

export interface Srv {
  readonly name: string;
  readonly port: number;
  readonly priority?: number;
  readonly weight?: number;
}

/** What is known of a name: nothing at all is NXDOMAIN. `truncated` and `garbage` answer every question about it so. */
export interface Zone {
  readonly [name: string]: readonly (string | Srv)[] | "silent" | "truncated" | "garbage";
}

const types: Readonly<Record<number, "A" | "AAAA" | "SRV">> = { 1: "A", 28: "AAAA", 33: "SRV" };

/** A resolver that patiently asks a server for this zone, and the questions that reached it, as in "A seed.test". */
export async function nameServer(
  zone: Zone,
  patience = { timeout: 5_000, tries: 3 },
): Promise<{ resolver: Resolver; asked: string[] }> {
  const socket = createSocket("udp4");
  const asked: string[] = [];
  socket.on("message", (query, { port }) => {
    const { name, type, end } = questionOf(query);
    asked.push(`${types[type]} ${name}`);
    const reply = answerTo(query.subarray(0, end), zone[name], type);
    if (reply !== null) socket.send(reply, port, "127.0.0.1");
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const resolver = new Resolver(patience);
  resolver.setServers([`127.0.0.1:${socket.address().port}`]);
  closeLater({
    close: () => {
      resolver.cancel();
      socket.close();
    },
  });
  return { resolver, asked };
}

function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]; length !== undefined && length > 0; length = query[at]) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function answerTo(question: Buffer, known: Zone[string] | undefined, type: number): Buffer | null {
  if (known === "silent") return null;
  const head = Buffer.from(question);
  const records = typeof known === "object" ? known.map((record) => recordOf(record)) : [];
  const fitting = records.filter((record) => record.type === type);
  const refusal = known === undefined ? 3 : 0;
  head.writeUInt16BE(0x8180 | refusal | (known === "truncated" ? 0x200 : 0), 2);
  // Garbage: more answers are promised than there are, and they make no sense.
  head.writeUInt16BE(known === "garbage" ? 9 : fitting.length, 6);
  head.writeUInt32BE(0, 8);
  if (known === "garbage") return Buffer.concat([head, Buffer.from("c00cffffffffffffffff", "hex")]);
  return Buffer.concat([head, ...fitting.map(({ data }) => withHeader(type, data))]);
}

function withHeader(type: number, data: Buffer): Buffer {
  const header = Buffer.from("c00c0000000100000000", "hex");
  header.writeUInt16BE(type, 2);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(data.length);
  return Buffer.concat([header, length, data]);
}

function recordOf(record: string | Srv): { type: number; data: Buffer } {
  if (typeof record === "string") {
    const ip = Buffer.from(parseIp(record) as Uint8Array);
    return record.includes(":") ? { type: 28, data: ip } : { type: 1, data: ip.subarray(12) };
  }
  const { name, port, priority = 0, weight = 0 } = record;
  const fixed = Buffer.alloc(6);
  [priority, weight, port].forEach((value, i) => void fixed.writeUInt16BE(value, 2 * i));
  const labels = name.split(".").filter((label) => label !== "");
  const target = labels.map((label) => Buffer.from(String.fromCharCode(label.length) + label, "latin1"));
  return { type: 33, data: Buffer.concat([fixed, ...target, Buffer.alloc(1)]) };
}
