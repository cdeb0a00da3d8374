/*
 * The page: one pane, or two side by side on the gateways that its address names (`/?panes=3000,3001&room=welcome`; with a
 * room they are entered at once).
 */
import { addressOf, panesOf } from './addresses.js';
import { Pane } from './pane.js';

const NAMES = ['ann', 'bob', 'eve', 'joe', 'kim', 'lou', 'max', 'zoe'];
const MOST = 4;

const asked = panesOf(location);
const place = document.querySelector('#panes');
const more = document.querySelector('#more');
const choice = document.querySelector('.switch');
const panes = [];
/** Two windows are most likely two people. */
/** Where tokens are taken, who comes without one is a guest. */
const guest = document.documentElement.dataset.access === 'guests' ? 'guest-' : '';
const firstName = asked.addresses.length > 0 ? 0 : Math.floor(Math.random() * NAMES.length);

for (const address of asked.addresses.length > 0 ? asked.addresses.slice(0, MOST) : [location.origin]) add(address);
if (asked.room !== undefined && asked.addresses.length > 0) for (const pane of panes) pane.enter();
panes[0].focus();
more.addEventListener('click', () => add(location.origin).focus());
setInterval(() => panes.forEach((pane) => pane.tick()), 1_000);
// The panes' addresses decide what the page may connect to, so they are in its own.
addEventListener('securitypolicyviolation', ({ blockedURI }) => {
  const origin = URL.canParse(blockedURI) && new URL(blockedURI.replace(/^ws/, 'http')).origin;
  for (const pane of panes) pane.blocked(origin);
});
addEventListener('beforeunload', () => panes.forEach((pane) => pane.leave()));

function add(address) {
  const pane = new Pane(document.querySelector('#pane'), {
    address,
    user: `${guest}${NAMES[(firstName + panes.length) % NAMES.length]}`,
    room: asked.room ?? panes[0]?.place.room ?? 'welcome',
    remove: (pane) => remove(pane),
    renamed: () => arrange(),
    reachable: (origin) => asked.addresses.includes(origin),
    elsewhere: (pane, origin) => {
      const origins = panes.map((each) => (each === pane ? origin : (each.place.origin ?? location.origin)));
      location.assign(addressOf(origins, asked.room, location));
    },
  });
  panes.push(pane);
  place.append(pane.element);
  arrange();
  show(panes.length > 1 && !asked.addresses.includes(address) ? pane : panes[0]);
  return pane;
}

function remove(pane) {
  panes.splice(panes.indexOf(pane), 1);
  pane.element.remove();
  arrange();
  show(panes[0]);
  panes[0].focus();
}

function arrange() {
  place.dataset.panes = panes.length;
  more.hidden = panes.length >= MOST;
  for (const pane of panes) pane.element.querySelector('[data-do=remove]').hidden = panes.length < 2;
  choice.hidden = panes.length < 2;
  choice.replaceChildren(
    ...panes.map((pane) => {
      const button = Object.assign(document.createElement('button'), { type: 'button', textContent: pane.name });
      button.setAttribute('aria-pressed', String('shown' in pane.element.dataset));
      button.addEventListener('click', () => show(pane));
      return button;
    }),
  );
}

/** On a phone, where there is place for one. */
function show(pane) {
  for (const each of panes) {
    if (each === pane) each.element.dataset.shown = '';
    else delete each.element.dataset.shown;
  }
  arrange();
}
