// nano's own browser client, from the examples of its Go module: NANO_WEB.
import { join } from "node:path";

import { conversation } from "./talk.mjs";
import { page } from "./window.mjs";

const files = ["protocol.js", "starx-wsclient.js"].map((name) => join(process.env.NANO_WEB, name));

conversation(() => page(files).starx);
