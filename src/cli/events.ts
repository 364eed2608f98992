import type { Member } from "../delegates.js";
import type { GossipNode } from "../node.js";

/** Puts an event of an agent on stdout. */
export type Write = (event: string, member: Member | null, extra?: Record<string, unknown>) => void;

export function jsonWriter(node: GossipNode): Write {
  return (event, member, extra = {}) => {
    const line = {
      ts: new Date().toISOString(),
      event,
      member: member && memberJson(member),
      members: node.memberCount,
    };
    process.stdout.write(`${JSON.stringify({ ...line, ...extra })}\n`);
  };
}

export function prettyWriter(node: GossipNode): Write {
  return (event, member, extra = {}) => {
    const time = new Date().toISOString().slice(11, 23);
    const who = member === null ? "" : ` ${member.name} ${member.address}`;
    const payload = typeof extra.payload === "string" ? ` ${JSON.stringify(extra.payload)}` : "";
    process.stdout.write(`${time} ${event.padEnd(8)}${who}${payload} (${node.memberCount} members)\n`);
  };
}

export function memberJson(member: Member): Record<string, unknown> {
  const { name, address, meta } = member;
  const text = textOf(meta);
  return text !== null
    ? { name, address, meta: text }
    : { name, address, metaBase64: Buffer.from(meta).toString("base64") };
}

/** The text, or null when the bytes are not UTF-8. */
export function textOf(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}
