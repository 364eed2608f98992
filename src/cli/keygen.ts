import sodium from "sodium-native";
import { parseFlags, UsageError } from "./usage.js";

/** `tattler keygen`: prints a fresh key in base64. */
export async function runKeygen(args: string[]): Promise<number> {
  const flags = parseFlags(args, { bits: { type: "string", default: "256" } });
  const bits = Number(flags.bits);
  if (![128, 192, 256].includes(bits)) {
    throw new UsageError(`--bits ${flags.bits} is not a key size`, "give 128, 192 or 256");
  }
  const key = Buffer.alloc(bits / 8);
  sodium.randombytes_buf(key);
  console.log(key.toString("base64"));
  sodium.sodium_memzero(key);
  return 0;
}
