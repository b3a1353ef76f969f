import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { encodePacket } from "../src/codec.js";
import { Client, connect } from "../src/index.js";
import { json } from "../src/json.js";
import { MessageType, PacketType, Server, settled } from "./server.js";

const { REQUEST, NOTIFY } = MessageType;
const EMOJI = "naïve — 日本 😀👩‍🚀";

describe("connecting", () => {
  test("the client greets, says who it is and that it knows errors, and acknowledges", async () => {
    const server = new Server();
    const client = await server.client({ user: { token: EMOJI } });
    const [hello, ack] = server.last.packets;
    assert.equal(hello.type, PacketType.HANDSHAKE);
    const { sys, user } = json.decode(hello.body);
    assert.equal(sys.errors, true);
    assert.deepEqual(user, { token: EMOJI });
    assert.deepEqual([ack.type, ack.body.length], [PacketType.HANDSHAKE_ACK, 0]);
    assert.equal(client.state, "working");
    client.disconnect();
  });

  test("the user may be a function, asked before every greeting", async () => {
    const server = new Server();
    let asked = 0;
    const client = await server.client({ user: async () => ({ token: ++asked }) });
    await server.last.drop();
    server.clock.advance(500);
    await server.last.open();
    assert.deepEqual(json.decode(server.last.packets[0].body).user, { token: 2 });
    client.disconnect();
  });

  test("a session that the server keeps is taken up again", async () => {
    const server = new Server();
    const asked = () => json.decode(server.last.packets[0].body).sys.resume;
    const client = await server.client({}, { resume: "one", epoch: 1 });
    const resumed = [];
    client.events.on("open", (greeting) => resumed.push(greeting.resumed));
    assert.equal(asked(), "");
    await server.last.drop();
    server.clock.advance(500);
    await server.accept({ resume: "two", epoch: 2 });
    assert.equal(asked(), "one");
    await server.last.drop();
    server.clock.advance(1000);
    await server.accept();
    assert.equal(asked(), "two");
    await server.last.drop();
    server.clock.advance(2000);
    await server.last.open();
    assert.equal(asked(), "");
    assert.deepEqual(resumed, [true, false]);
    client.disconnect();
  });

  test("with resume off no server is asked to keep the session", async () => {
    const server = new Server();
    const client = await server.client({ resume: false }, { resume: "one", epoch: 1 });
    assert.equal("resume" in json.decode(server.last.packets[0].body).sys, false);
    client.disconnect();
  });

  test("a first attempt that fails rejects, and there is no second", async () => {
    const server = new Server();
    const connecting = connect("ws://here/", server.environment);
    await Promise.all([
      assert.rejects(connecting, { name: "ClosedError", message: /lost \(1006\)/ }),
      server.last.drop(),
    ]);
    server.clock.advance(60_000);
    assert.equal(server.sockets.length, 1);
    assert.equal(server.clock.running, 0);
  });

  test("with reconnect.first the first attempt may fail", async () => {
    const server = new Server();
    const connecting = connect("ws://here/", {
      ...server.environment,
      reconnect: { first: true },
    });
    await server.last.drop();
    server.clock.advance(500);
    await server.accept();
    (await connecting).disconnect();
  });

  test("a refusal rejects with its code and body, and there is no second attempt", async () => {
    const server = new Server();
    const connecting = connect("ws://here/", {
      ...server.environment,
      reconnect: { first: true },
    });
    await server.last.open();
    await Promise.all([
      assert.rejects(connecting, ({ name, code, answer }) => {
        assert.deepEqual([name, code, answer.hint], ["RefusedError", 401, "log in"]);
        return true;
      }),
      server.last.greet({ code: 401, hint: "log in" }),
    ]);
    assert.equal(server.clock.running, 0);
  });

  test("a server that accepts the socket and says nothing is given up", async () => {
    const server = new Server();
    const connecting = connect("ws://here/", { ...server.environment, connectTimeout: 700 });
    await server.last.open();
    server.clock.advance(699);
    assert.equal(server.last.closedWith, null);
    server.clock.advance(1);
    await assert.rejects(connecting, /no greeting came in 700 ms/);
    assert.equal(server.last.closedWith, 4009);
  });

  test("a user function that fails rejects with its own error", async () => {
    const server = new Server();
    const user = async () => { throw new Error("no token"); };
    const connecting = connect("ws://here/", { ...server.environment, user });
    await Promise.all([assert.rejects(connecting, { message: "no token" }), server.last.open()]);
    assert.equal(server.clock.running, 0);
  });

  test("what is asked before the client is open waits for it", async () => {
    const server = new Server();
    const client = new Client("ws://here/", server.environment);
    const early = client.request("a.early");
    const opened = client.open();
    await server.accept();
    await opened;
    await server.last.answer(1, "in time");
    assert.equal(await early, "in time");
    client.disconnect();
  });

  for (const [what, body] of [
    ["no JSON", "{"],
    ["JSON, but no object", "200"],
    ["a dictionary of words", '{"code":200,"sys":{"dict":{"a":"b"}}}'],
  ]) {
    test(`a greeting that is ${what} ends the connection`, async () => {
      const server = new Server();
      const connecting = connect("ws://here/", server.environment);
      await server.last.open();
      const packet = encodePacket(PacketType.HANDSHAKE, new TextEncoder().encode(body));
      await Promise.all([
        assert.rejects(connecting, { name: "ProtocolError" }),
        server.last.bytes(packet),
      ]);
    });
  }

  test("whatever bytes a server sends, the client ends or goes on, and never throws", async () => {
    let seed = 7;
    const random = (below) => (seed = (seed * 48271) % 0x7fffffff) % below;
    const starts = [
      '{"code":200,"sys":{"heartbeat":1,"dict":{"a":1}}}', '{"code":200,"sys":null}',
      '{"reason":1}', "[]", "null", "\u0004\u0001\"x\"", "\u0006\u0002on1",
    ].map((text) => new TextEncoder().encode(text));
    let working = 0;
    for (let round = 0; round < 2000; round++) {
      const server = new Server();
      const client = new Client("ws://here/", { ...server.environment, reconnect: false });
      client.events.on("error", () => {});
      client.on("on", () => {});
      client.open().catch(() => {});
      await server.last.open();
      if (random(4)) await server.last.greet();
      for (let count = random(6); count >= 0; count--) {
        const packet = encodePacket(1 + random(5), starts[random(starts.length)]);
        if (random(3) === 0) packet[random(packet.length)] = random(256);
        server.last.bytes(packet);
      }
      working += client.state === "working";
      assert.ok(["working", "greeting", "closed"].includes(client.state), client.state);
      client.disconnect();
      assert.equal(server.clock.running, 0);
    }
    assert.ok(working > 50, `${working} clients were still working`);
  });

  for (const [what, spoil] of [
    ["bytes that are no packet", (socket) => socket.bytes(new Uint8Array([9, 0, 0, 0]))],
    ["a second greeting", (socket) => socket.greet()],
    ["a handshake's acknowledgement", (socket) => socket.bytes(new Uint8Array([2, 0, 0, 0]))],
    ["a route without a name", (socket) => socket.bytes(new Uint8Array([4, 0, 0, 3, 7, 0, 9]))],
  ]) {
    test(`${what} end the connection with a reason`, async () => {
      const server = new Server();
      const client = await server.client({ reconnect: false });
      await spoil(server.last);
      assert.equal(client.state, "closed");
      assert.equal(server.last.closedWith, 4002);
      assert.notEqual(client.closed, "");
    });
  }
});

describe("messages", () => {
  test("an answer reaches its request, whatever the order, in correct UTF-8", async () => {
    const server = new Server();
    const client = await server.client();
    const one = client.request("Room.say", { text: EMOJI });
    const two = client.request("Room.list");
    assert.deepEqual(server.last.messages, [
      { type: REQUEST, id: 1, route: "Room.say", value: { text: EMOJI } },
      { type: REQUEST, id: 2, route: "Room.list", value: {} },
    ]);
    await server.last.answer(2, [1]);
    await server.last.answer(1, { text: EMOJI });
    assert.deepEqual(await Promise.all([one, two]), [{ text: EMOJI }, [1]]);
    client.disconnect();
  });

  test("an error's answer rejects with code, message and status", async () => {
    const server = new Server();
    const client = await server.client();
    const asked = client.request("No.where");
    const body = { code: "NANO-404", msg: "there is no such route", status: 404 };
    await Promise.all([
      assert.rejects(asked, {
        name: "RequestError",
        code: "NANO-404",
        message: "there is no such route",
        status: 404,
      }),
      server.last.answer(1, body, true),
    ]);
    client.disconnect();
  });

  test("an error without status or in another form is an error still", async () => {
    const server = new Server();
    const client = await server.client();
    for (const [body, expected] of [
      [{ code: "PIT-000", msg: "oops" }, { code: "PIT-000", status: 500, message: "oops" }],
      ["oops", { code: "NANO-500", status: 500, message: "oops" }],
      [null, { code: "NANO-500", status: 500 }],
    ]) {
      const asked = assert.rejects(client.request("a.b"), expected);
      await server.last.answer(server.last.messages[0].id, body, true);
      await asked;
    }
    client.disconnect();
  });

  test("an answer that is the error's body without its flag is an answer", async () => {
    const server = new Server();
    const client = await server.client();
    const asked = client.request("a.b");
    await server.last.answer(1, { code: "NANO-404", status: 404 });
    assert.equal((await asked).status, 404);
    client.disconnect();
  });

  test("an empty answer is null, and one that is not JSON rejects", async () => {
    const server = new Server();
    const client = await server.client();
    const empty = client.request("a.empty");
    const wrong = client.request("a.wrong");
    await server.last.answer(1, new Uint8Array());
    await Promise.all([
      assert.rejects(wrong, { name: "PayloadError", message: /a\.wrong/ }),
      server.last.answer(2, new Uint8Array([0x22, 0xff, 0x22])), // within a string
    ]);
    assert.equal(await empty, null);
    client.disconnect();
  });

  test("a request that nobody answers is rejected in time, a late answer ignored", async () => {
    const server = new Server();
    const client = await server.client({ requestTimeout: 50 });
    const short = client.request("a.slow");
    const long = client.request("a.slow", {}, { timeout: 1000 });
    server.clock.advance(50);
    await assert.rejects(short, { name: "TimeoutError", message: "a.slow: no answer in 50 ms" });
    await server.last.answer(1, "late");
    await server.last.answer(2, "in time");
    assert.equal(await long, "in time");
    client.disconnect();
    assert.equal(server.clock.running, 0);
  });

  test("routes of the dictionary go as codes, both ways", async () => {
    const server = new Server();
    const client = await server.client({}, { dict: { "Room.say": 300, onSay: 301 } });
    const heard = [];
    client.on("onSay", (message) => heard.push(message));
    client.notify("Room.say", 1);
    const { body } = server.last.packets.at(-1);
    assert.deepEqual([...body], [3, 1, 44, 49]);
    server.last.push("onSay", EMOJI);
    assert.deepEqual(heard, [EMOJI]);
    client.disconnect();
  });

  test("bytes are sent as they are, and a serializer of one's own is used", async () => {
    const server = new Server();
    const serializer = {
      encode: (value) => new Uint8Array([value]),
      decode: (payload) => payload.length,
    };
    const client = await server.client({ serializer });
    client.notify("a", new Uint8Array([1, 2]));
    client.notify("a", 3);
    const bodies = server.last.packets.slice(-2).map(({ body }) => [...body]);
    assert.deepEqual(bodies, [[2, 1, 97, 1, 2], [2, 1, 97, 3]]);
    const asked = client.request("a", 4);
    await server.last.answer(1, new Uint8Array(7));
    assert.equal(await asked, 7);
    client.disconnect();
  });

  test("what cannot be encoded is refused at once", async () => {
    const server = new Server();
    const client = await server.client();
    assert.throws(() => client.notify("a".repeat(256)), RangeError);
    assert.throws(() => client.notify("a", 2n ** 64n), TypeError);
    assert.throws(() => client.notify("a", () => {}), TypeError);
    await assert.rejects(client.request("😀".repeat(64)), RangeError);
    assert.equal(server.clock.running, 1); // the heartbeat's: no request is left behind
    client.disconnect();
  });

  test("several packets in one WebSocket message, and one in several, are understood", async () => {
    const server = new Server();
    const client = await server.client();
    const heard = [];
    client.on("on", (message) => heard.push(message));
    const packet = (value) => server.last.message(MessageType.PUSH, 0, "on", value);
    server.last.bytes(packet(1), packet(EMOJI), packet(3).subarray(0, 6));
    server.last.bytes(packet(3).subarray(6, 7));
    server.last.bytes(packet(3).subarray(7), packet(4));
    assert.deepEqual(heard, [1, EMOJI, 3, 4]);
    client.disconnect();
  });

  test("a push that nobody waits for is dropped, one that cannot be read reported", async () => {
    const server = new Server();
    const client = await server.client();
    const errors = [];
    client.events.on("error", (error) => errors.push(error));
    server.last.push("onNothing", new Uint8Array([0xff]));
    client.on("on", assert.fail);
    server.last.push("on", new Uint8Array([0xff]));
    assert.deepEqual(errors.map(({ name }) => name), ["PayloadError"]);
    client.disconnect();
  });

  test("a callback that throws is reported, and harms nobody", async () => {
    const server = new Server();
    const client = await server.client();
    const seen = [];
    client.events.on("error", (error) => seen.push(error.message));
    client.on("on", () => { throw new Error("mine"); });
    client.on("on", (message) => seen.push(message));
    server.last.push("on", 1);
    assert.deepEqual(seen, ["mine", 1]);
    client.disconnect();
  });

  test("a callback that was taken off is not called", async () => {
    const server = new Server();
    const client = await server.client();
    const heard = [];
    const note = (message) => heard.push(message);
    client.on("on", note).once("on", note);
    server.last.push("on", 1);
    client.off("on", note);
    server.last.push("on", 2);
    assert.deepEqual(heard, [1, 1]);
    client.disconnect();
  });
});

describe("heartbeats", () => {
  test("the server's are answered, one each", async () => {
    const server = new Server();
    const client = await server.client();
    server.last.heartbeat();
    server.last.heartbeat();
    assert.equal(server.last.count(PacketType.HEARTBEAT), 2);
    client.disconnect();
  });

  test("a server that is silent for two intervals is left, and tried again", async () => {
    const server = new Server();
    const client = await server.client({}, { heartbeat: 0.25 });
    const lost = [];
    client.events.on("reconnecting", ({ reason, code }) => lost.push([reason, code]));
    server.clock.advance(499);
    assert.equal(client.state, "working");
    server.clock.advance(1);
    assert.deepEqual(lost, [["the server has been silent for 500 ms", 4008]]);
    assert.equal(server.last.closedWith, 4008);
    client.disconnect();
    assert.equal(server.clock.running, 0);
  });

  test("whatever the server sends is a sign of life", async () => {
    const server = new Server();
    const client = await server.client({}, { heartbeat: 1 });
    for (let second = 0; second < 10; second++) {
      server.clock.advance(1500);
      server.last.push("on", second);
    }
    assert.equal(client.state, "working");
    client.disconnect();
  });

  test("a server that announces none is not watched", async () => {
    const server = new Server();
    const client = await server.client({}, { heartbeat: 0 });
    server.clock.advance(1e9);
    assert.equal(client.state, "working");
    client.disconnect();
  });
});

describe("reconnecting", () => {
  test("what was on its way is rejected; what comes later waits, in order", async () => {
    const server = new Server();
    const client = await server.client();
    const cut = client.request("a.cut");
    await Promise.all([
      assert.rejects(cut, {
        name: "ClosedError",
        sent: true,
        message: "a.cut: the connection is lost (1006)",
      }),
      server.last.drop(),
    ]);
    assert.equal(client.state, "waiting");
    client.notify("a.one");
    const two = client.request("a.two");
    client.notify("a.three");
    server.clock.advance(250);
    await server.accept();
    const messages = server.last.messages;
    assert.deepEqual(messages.map(({ route }) => route), ["a.one", "a.two", "a.three"]);
    await server.last.answer(messages[1].id, "yes");
    assert.equal(await two, "yes");
    client.disconnect();
  });

  test("what a callback of open sends goes out in front of what waited", async () => {
    const server = new Server();
    const client = await server.client();
    client.events.on("reconnected", () => client.notify("a.login"));
    await server.last.drop();
    client.notify("a.waited");
    server.clock.advance(500);
    await server.accept();
    assert.deepEqual(server.last.messages.map(({ route }) => route), ["a.login", "a.waited"]);
    client.disconnect();
  });

  test("what waits is encoded with the dictionary of the connection that it goes by", async () => {
    const server = new Server();
    const client = await server.client({}, { dict: { "a.b": 1 } });
    await server.last.drop();
    client.notify("a.b");
    server.clock.advance(500);
    await server.accept({ dict: { "a.c": 1 } });
    assert.equal(server.last.messages[0].route, "a.b");
    client.disconnect();
  });

  test("what has waited and was sent is rejected by the next cut, and the outbox is empty", async () => {
    const server = new Server();
    const client = await server.client({ outboxBytes: 100 });
    for (let round = 0; round < 3; round++) {
      await server.last.drop();
      const waits = client.request("a", "x".repeat(80));
      server.clock.advance(5000);
      await server.accept();
      assert.equal(server.last.messages.length, 1);
      const rejected = assert.rejects(waits, { name: "ClosedError", sent: true });
      await server.last.drop();
      await rejected;
      server.clock.advance(5000);
      await server.accept();
    }
    client.disconnect();
  });

  test("the outbox is bounded, and what times out leaves it", async () => {
    const server = new Server();
    const client = await server.client({ outboxBytes: 100 });
    await server.last.drop();
    const waits = client.request("a", "x".repeat(80), { timeout: 10 });
    assert.throws(() => client.notify("a", "x".repeat(80)), {
      name: "OutboxFullError",
      message: /outboxBytes/,
    });
    await assert.rejects(client.request("a", "x".repeat(80)), { name: "OutboxFullError" });
    server.clock.advance(10);
    await assert.rejects(waits, { name: "TimeoutError" });
    client.notify("a", "y".repeat(80));
    assert.throws(() => client.notify("a".repeat(256)), RangeError);
    server.clock.advance(500);
    await server.accept();
    assert.deepEqual(server.last.messages.map(({ value }) => value), ["y".repeat(80)]);
    client.disconnect();
    assert.equal(server.clock.running, 0);
  });

  test("attempts come with full jitter, below a limit that doubles", async () => {
    const server = new Server();
    server.random = 0.999;
    const client = await server.client({ reconnect: { base: 100, cap: 1000 } });
    const waits = [];
    client.events.on("reconnecting", ({ attempt, delay }) => waits.push([attempt, delay]));
    for (let attempt = 0; attempt < 6; attempt++) {
      await server.last.drop();
      server.clock.advance(1000);
    }
    assert.deepEqual(
      waits.map(([attempt, delay]) => [attempt, Math.round(delay / 0.999)]),
      [[1, 100], [2, 200], [3, 400], [4, 800], [5, 1000], [6, 1000]],
    );
    client.disconnect();
  });

  test("only a connection that has lasted makes the waits short again", async () => {
    const server = new Server();
    server.random = 0.999;
    const client = await server.client({ reconnect: { base: 100, cap: 1000 } }, { heartbeat: 0 });
    const waits = [];
    client.events.on("reconnecting", ({ delay }) => waits.push(Math.round(delay / 0.999)));
    for (const lasts of [0, 999, 1000]) {
      await server.last.drop();
      server.clock.advance(1000);
      await server.accept({ heartbeat: 0 });
      server.clock.advance(lasts);
    }
    await server.last.drop();
    assert.deepEqual(waits, [100, 200, 400, 100]);
    client.disconnect();
  });

  test("after so many attempts it is over", async () => {
    const server = new Server();
    const client = await server.client({ reconnect: { attempts: 2 } });
    const ends = [];
    client.events.on("close", ({ reason }) => ends.push(reason));
    await server.last.drop();
    const waits = assert.rejects(client.request("a"), { name: "ClosedError", sent: false });
    for (let attempt = 0; attempt < 2; attempt++) {
      server.clock.advance(1000);
      await server.last.drop();
    }
    await waits;
    assert.deepEqual(ends, ["the connection is lost (1006)"]);
    assert.equal(server.sockets.length, 3);
    assert.throws(() => client.notify("a"), { name: "ClosedError" });
    assert.equal(server.clock.running, 0);
  });

  test("without reconnect a cut is the end", async () => {
    const server = new Server();
    const client = await server.client({ reconnect: false });
    await server.last.drop(1001, "the server is going away");
    assert.equal(client.state, "closed");
    assert.equal(client.closed, "closed by the server: the server is going away");
  });

  test("a client that is told to disconnect while it waits stays away", async () => {
    const server = new Server();
    const client = await server.client();
    await server.last.drop();
    client.disconnect();
    client.disconnect();
    server.clock.advance(60_000);
    assert.equal(server.sockets.length, 1);
  });

  test("to disconnect rejects what waits, closes normally, and is told once", async () => {
    const server = new Server();
    const client = await server.client();
    const ends = [];
    client.events.on("close", (end) => ends.push(end));
    const asked = client.request("a.b");
    client.disconnect();
    await assert.rejects(asked, { name: "ClosedError", sent: true });
    await server.last.drop(1000);
    assert.equal(server.last.closedWith, 1000);
    assert.deepEqual(ends, [{ reason: "closed by this side", code: 1000 }]);
  });
});

describe("kicks", () => {
  async function kicked(body, code, options = {}) {
    const server = new Server();
    const client = await server.client(options);
    const kicks = [];
    client.events.on("kick", ({ reason }) => kicks.push(reason));
    server.last.kick(body);
    await server.last.drop(code);
    const { state, closed } = client;
    client.disconnect();
    assert.equal(server.clock.running, 0);
    return { kicks, state, closed };
  }

  test("who is kicked hears why, and stays away", async () => {
    const { kicks, state, closed } = await kicked({ reason: "logged in elsewhere" }, 1000);
    assert.deepEqual(kicks, ["logged in elsewhere"]);
    assert.equal(state, "closed");
    assert.equal(closed, "closed by the server: logged in elsewhere");
  });

  test("who is kicked because the server goes comes back", async () => {
    assert.equal((await kicked({ reason: "going away" }, 1001)).state, "waiting");
    assert.equal((await kicked({ reason: "moved", reconnect: true }, 1000)).state, "waiting");
  });

  test("the application may decide otherwise", async () => {
    const always = { reconnectAfterKick: () => true };
    const never = { reconnectAfterKick: () => false };
    assert.equal((await kicked({ reason: "shoo" }, 1000, always)).state, "waiting");
    assert.equal((await kicked({ reason: "going away" }, 1001, never)).state, "closed");
  });

  test("a kick without a body, or whose close never comes, is a kick all the same", async () => {
    const server = new Server();
    const client = await server.client();
    server.last.bytes(new Uint8Array([5, 0, 0, 0]));
    server.clock.advance(5000);
    await settled();
    assert.equal(client.state, "closed");
  });
});

test("a client is opened once", async () => {
  const server = new Server();
  const client = new Client("ws://here/", server.environment);
  const opened = client.open();
  await assert.rejects(client.open(), /open\(\) while opening/);
  await server.accept();
  await opened;
  client.disconnect();
});

test("where there is no WebSocket the cure is named", () => {
  const had = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
  delete globalThis.WebSocket;
  try {
    assert.throws(() => new Client("ws://here/"), /--experimental-websocket/);
  } finally {
    if (had) Object.defineProperty(globalThis, "WebSocket", had);
  }
});
