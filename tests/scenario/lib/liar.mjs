// A proxy between chitchat-load and the server that tells lies.
import net from "node:net";

// The server's frames, as many as are whole: { bytes, head } each, where the payload begins at `head`.
function splitFrames(bytes) {
  const frames = [];
  let at = 0;
  while (bytes.length - at >= 4) {
    const short = bytes[at + 1];
    const head = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length - at < head) break;
    const size = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
    if (bytes.length - at < head + size) break;
    frames.push({ bytes: bytes.subarray(at, at + head + size), head });
    at += head + size;
  }
  return { frames, rest: bytes.subarray(at) };
}

function frameOf(object) {
  const payload = Buffer.from(JSON.stringify(object));
  const head = Buffer.alloc(payload.length < 126 ? 2 : 4);
  head[0] = 0x81;
  if (payload.length < 126) {
    head[1] = payload.length;
  } else {
    head[1] = 126;
    head.writeUInt16BE(payload.length, 2);
  }
  return Buffer.concat([head, payload]);
}

// Passes all on, but asks `lie` about each object of the server: lie(object, link) gives what goes instead, objects or
// bytes, or nothing if the truth may pass. `link` is the connection, for the lie to keep what it likes in: of those that
// have logged in, `number` counts from 0 on, and `user` is who it is. Resolves to { address, close }.
export async function startLiar(port, lie) {
  let logins = 0;
  const check = ({ bytes, head }, link) => {
    if (bytes[0] !== 0x81) return [bytes];
    const object = JSON.parse(bytes.subarray(head));
    if (object.user !== undefined) Object.assign(link, { number: logins++, user: object.user });
    return lie(object, link)?.map((instead) => (Buffer.isBuffer(instead) ? instead : frameOf(instead))) ?? [bytes];
  };
  const listener = net.createServer((client) => {
    const upstream = net.connect(port, "127.0.0.1");
    const link = {};
    let pending = Buffer.alloc(0);
    let upgraded = false;
    client.pipe(upstream);
    upstream.on("data", (data) => {
      pending = Buffer.concat([pending, data]);
      if (!upgraded) {
        const end = pending.indexOf("\r\n\r\n");
        if (end < 0) return;
        upgraded = true;
        client.write(pending.subarray(0, end + 4));
        pending = pending.subarray(end + 4);
      }
      const { frames, rest } = splitFrames(pending);
      pending = rest;
      client.write(Buffer.concat(frames.flatMap((frame) => check(frame, link))));
    });
    for (const socket of [client, upstream]) socket.on("error", () => {});
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return { address: `127.0.0.1:${listener.address().port}`, close: () => listener.close() };
}
