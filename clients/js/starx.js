/**
 * For pages written for nano: in place of protocol.js and starx-wsclient.js,
 *
 *     <script src="nanocluster/starx.js"></script>
 *
 * An old page calls `starx` while it loads, and a module comes later; so this defines
 * `window.starx` at once, and what is called before the module is there waits for it.
 */
(function () {
  "use strict";
  const module = new URL("src/starx.js", document.currentScript.src);
  const waiting = [];
  const names = [
    "init", "request", "notify", "disconnect", "on", "once", "off", "emit", "hasListeners",
    "addEventListener", "removeListener", "removeAllListeners", "removeEventListener",
  ];
  const facade = (window.starx = {});
  for (const name of names) {
    facade[name] = function (...given) {
      waiting.push([name, given]);
      return facade;
    };
  }

  import(module).then(function ({ starx }) {
    for (const name of names) facade[name] = starx[name].bind(starx);
    for (const [name, given] of waiting.splice(0)) facade[name](...given);
  });
})();
