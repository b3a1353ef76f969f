// pomelo's protocol library as a program of Node.js uses it, over a socket of its own.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

const require = createRequire(join(process.env.NODE_MODULES, "here.js"));
const { Message, Package, strencode, strdecode } = require("pomelo-protocol");

/** The next package that the server sends; it puts each in a WebSocket message. */
function packages(socket) {
  const found = [];
  const waiting = [];
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    const packet = Package.decode(Buffer.from(data));
    if (waiting.length) waiting.shift()(packet);
    else found.push(packet);
  };
  return () =>
    found.length ? Promise.resolve(found.shift()) : new Promise((take) => waiting.push(take));
}

test("the library's bytes and ours are the same: handshake, request, push, error, kick", async () => {
  const socket = new WebSocket(process.env.NANO_URL);
  const next = packages(socket);
  await new Promise((resolve) => (socket.onopen = resolve));
  const send = (type, body) => socket.send(Package.encode(type, body));
  const data = async () => {
    for (;;) {
      const packet = await next();
      if (packet.type === Package.TYPE_DATA) return Message.decode(packet.body);
      assert.equal(packet.type, Package.TYPE_HEARTBEAT);
    }
  };
  const hello = { sys: { type: "nodejs", version: "0.0.1" }, user: {} };

  send(Package.TYPE_HANDSHAKE, strencode(JSON.stringify(hello)));
  const greeting = await next();
  assert.equal(greeting.type, Package.TYPE_HANDSHAKE);
  assert.equal(JSON.parse(strdecode(greeting.body)).code, 200);
  send(Package.TYPE_HANDSHAKE_ACK);

  const text = strencode(JSON.stringify("grüße 😀")); // Node's Buffer writes it rightly
  send(Package.TYPE_DATA, Message.encode(7, Message.TYPE_REQUEST, 0, "Parlour.echo", text));
  const answer = await data();
  assert.deepEqual([answer.type, answer.id], [Message.TYPE_RESPONSE, 7]);
  assert.equal(JSON.parse(strdecode(answer.body)), "grüße 😀");

  send(Package.TYPE_DATA, Message.encode(0, Message.TYPE_NOTIFY, 0, "Parlour.shout", text));
  const push = await data();
  assert.deepEqual([push.type, push.route], [Message.TYPE_PUSH, "onShout"]);
  assert.equal(JSON.parse(strdecode(push.body)), "grüße 😀");

  send(Package.TYPE_DATA, Message.encode(300, Message.TYPE_REQUEST, 0, "No.where", text));
  const error = await data();
  assert.deepEqual([error.type, error.id], [Message.TYPE_RESPONSE, 300]);
  assert.equal(JSON.parse(strdecode(error.body)).status, 404);

  const bye = strencode(JSON.stringify("bye"));
  send(Package.TYPE_DATA, Message.encode(0, Message.TYPE_NOTIFY, 0, "Parlour.leave", bye));
  let kick = await next();
  while (kick.type === Package.TYPE_HEARTBEAT) kick = await next();
  assert.equal(kick.type, Package.TYPE_KICK);
  assert.equal(JSON.parse(strdecode(kick.body)).reason, "bye");
});
