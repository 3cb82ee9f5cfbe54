'use strict';

// Swagger UI has a dark form, which waits for a class.
const dark = matchMedia('(prefers-color-scheme: dark)');
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', follow);
follow();

SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#page',
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  syntaxHighlight: false, // its colours are too weak to read
  validatorUrl: null, // asks nobody whether the document is valid
});

// What follows mends what Swagger UI leaves to guess for those who cannot see
// the page: names of controls, levels of headings, and a place in the order of
// keys for what scrolls.

const regions = { '.information-container': 'About', '.schemes-server-container': 'Server and key' };
const buttons = { '.close-modal': 'Close', '.modal-btn[type=submit]': 'Authorize', '.modal-btn[type=button]': null };
const levels = { H1: 1, H2: 2, H3: 2, H4: 3, H5: 4 };

// nameOf is what stands beside a control for the eye.
function nameOf(control) {
  const row = control.closest('tr[data-param-name]');
  if (row) return row.dataset.paramName;
  if (control.id === 'servers') return 'Server';
  if (control.matches('.examples-select-element')) return 'Example';
  if (control.matches('select')) return 'Media type';
  return 'Request body';
}

function mend() {
  for (const heading of page.querySelectorAll('h1, h2, h3, h4, h5')) {
    heading.ariaLevel = levels[heading.tagName];
  }
  for (const control of page.querySelectorAll('select, textarea, input:not([id])')) {
    control.ariaLabel ??= nameOf(control);
  }
  for (const fold of page.querySelectorAll('.json-schema-2020-12-accordion')) {
    if (!fold.textContent.trim()) fold.ariaLabel = 'Details';
  }
  for (const scrolling of page.querySelectorAll('pre.microlight')) {
    scrolling.tabIndex = 0;
  }
  for (const [selector, name] of Object.entries(regions)) {
    for (const region of page.querySelectorAll(selector)) {
      region.role = 'region';
      region.ariaLabel = name;
    }
  }
  for (const dialog of page.querySelectorAll('.dialog-ux')) {
    dialog.role = 'dialog';
    dialog.ariaModal = true;
    dialog.ariaLabel = 'Authorize';
  }
  for (const [selector, name] of Object.entries(buttons)) {
    for (const button of page.querySelectorAll(selector)) button.ariaLabel = name;
  }
  for (const table of page.querySelectorAll('table[role=region]')) {
    table.removeAttribute('role'); // it is a table, and there are many of them
  }
}

const page = document.getElementById('page');
new MutationObserver(mend).observe(page, { childList: true, subtree: true });
