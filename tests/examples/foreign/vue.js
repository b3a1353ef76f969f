// As much of Vue 1 as nano's pages need to hand over what they heard: no network, no CDN.
// Data and methods become members of the one object, methods bound to it.
function Vue({ data, methods }) {
  Object.assign(this, data);
  for (const [name, method] of Object.entries(methods)) this[name] = method.bind(this);
}
