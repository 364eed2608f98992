/**
 * Frames of a state sync, packed one by one (M-062, M-185), so that memory stays at one frame on both sides and the
 * event loop has its turn between two; the work on long ones is done on libuv's threads. Figures for 65,000 members
 * (9.0 MB, 184 frames) on Node 20: brotli 1 packs to a ratio of 4.3 in 25 ms and unpacks in 31, brotli 4 to 4.85 in 73
 * and 20, deflate-raw 1 to 3.8 in 47 and 22.
 */
import { promisify } from "node:util";
import { brotliCompress, brotliCompressSync, brotliDecompress, brotliDecompressSync, constants } from "node:zlib";
import { encodePacked, type PackedFrame } from "../wire/frames.js";
import { Codec } from "../wire/generated/wire/codec.js";
import { StreamFault } from "./stream_fault.js";

/** In a hello: the codecs that its sender opens, a bit each. */
export const brotliBit = 1;
/** Shorter frames are sent as they are. */
export const leastPackedBytes = 1024;
/**
 * Frames up to this length are packed on this thread, in 20 to 40 us: to hand them to another one and to be told of the
 * end takes it as long. Nearly all that trade what differs are no longer.
 */
const mostPackedAtOnce = 8192;
/** What may unpack to so little; what grows beyond it all the same is unpacked again elsewhere. */
const mostUnpackedAtOnce = mostPackedAtOnce / 4;

const compress = promisify(brotliCompress);
const decompress = promisify(brotliDecompress);
const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_SIZE_HINT } = constants;

/** The frame packed into another, or itself when that would not be shorter. */
export async function packFrame(frame: Uint8Array): Promise<Uint8Array> {
  if (frame.length < leastPackedBytes) return frame;
  const params = { [BROTLI_PARAM_QUALITY]: 1, [BROTLI_PARAM_LGWIN]: 18, [BROTLI_PARAM_SIZE_HINT]: frame.length };
  const isSmall = frame.length <= mostPackedAtOnce;
  const bytes = isSmall ? brotliCompressSync(frame, { params }) : await compress(frame, { params });
  const packed = encodePacked(Codec.brotli, bytes);
  return packed.length < frame.length ? packed : frame;
}

/**
 * The frame inside, not yet verified. Rejects with a StreamFault; no more than `maxBytes` are ever produced, whatever
 * the packed bytes would grow to (E-72).
 */
export async function unpackFrame({ codec, packed }: PackedFrame, maxBytes: number): Promise<Uint8Array> {
  if (codec !== Codec.brotli) throw new StreamFault("malformed", `a frame packed with the unknown codec ${codec}`);
  if (!hasSmallWindow(packed)) throw new StreamFault("oversized", "a packed frame that asks for too large a window");
  const atOnce = packed.length <= mostUnpackedAtOnce ? unpackedAtOnce(packed, maxBytes) : null;
  if (atOnce !== null) return atOnce;
  try {
    return await decompress(packed, { maxOutputLength: maxBytes });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      throw new StreamFault("oversized", `a packed frame that grows beyond ${maxBytes} bytes`);
    }
    throw new StreamFault("malformed", "a packed frame that does not unpack");
  }
}

/** Null when it is no short frame after all, or none. */
function unpackedAtOnce(packed: Uint8Array, maxBytes: number): Uint8Array | null {
  try {
    return brotliDecompressSync(packed, { maxOutputLength: Math.min(maxBytes, mostPackedAtOnce) });
  } catch {
    return null;
  }
}

/**
 * Whether the stream's window is 256 KiB at most, as ours is. It may ask for 16 MiB, which the decoder would allocate
 * before it has seen any content (RFC 7932, section 9.1: the first bits say so).
 */
function hasSmallWindow(packed: Uint8Array): boolean {
  const [first = 0] = packed;
  const isSixteen = (first & 1) === 0;
  return isSixteen || ((first >> 1) & 7) <= 1;
}
