// pomelo's browser client and its protocol library, from npm: NODE_MODULES.
import { join } from "node:path";

import { conversation } from "./talk.mjs";
import { page } from "./window.mjs";

const files = [
  "pomelo-protocol/lib/protocol.js",
  "pomelo-jsclient-websocket/lib/pomelo-client.js",
].map((name) => join(process.env.NODE_MODULES, name));

conversation(() => page(files).pomelo);
