// Prints whether the bytes of a key show in a heap snapshot of a process with a node, or in the node itself.
import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { getHeapSnapshot } from "node:v8";
import { GossipNode } from "../../dist/index.js";

/** What the key would look like, spelled backwards so that it does not find itself. */
const backwards = (text) => Buffer.from(text.split("").reverse().join(""), "latin1");
const key = randomBytes(32);
const looks = ["hex", "base64", "latin1"].map((encoding) => backwards(key.toString(encoding)));
looks.push(backwards([...key.subarray(0, 12)].join(", "))); // as inspect() shows bytes

const node = await GossipNode.create({ name: "a", bind: "127.0.0.1:0", keys: [key] });
await node.keyring.add(randomBytes(32));
key.fill(0);
const seen = [Buffer.from(inspect(node, { depth: 20, showHidden: true }) + JSON.stringify(node), "latin1")];
for await (const part of getHeapSnapshot()) seen.push(Buffer.from(part));
await node.close();
const all = Buffer.concat(seen);
const found = looks.map((look) => all.includes(Buffer.from(look).reverse()));
console.log(JSON.stringify({ found, bytes: all.length, control: all.includes("127.0.0.1") }));
