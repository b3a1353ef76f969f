/**
 * Client of NanoCluster, and of every server that speaks the protocol of pomelo and nano.
 *
 *     import { connect } from "nanocluster";
 *
 *     const client = await connect("ws://127.0.0.1:3250/");
 *     client.on("onShout", (message) => console.log(message));
 *     console.log(await client.request("EchoService.echo", { text: "hello" }));
 *
 * @module
 */
export { Client, connect } from "./client.js";
export { ClosedError, NanoError, OutboxFullError, PayloadError, ProtocolError, RefusedError, RequestError, TimeoutError, } from "./errors.js";
export { json } from "./json.js";
