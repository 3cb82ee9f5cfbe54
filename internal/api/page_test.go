package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/api"
	"github.com/ringback/ringback/internal/chromiumtest"
)

// open opens the page, with all operations listed.
func (b *browser) open(w *world) {
	b.t.Helper()
	b.do(chromedp.Navigate(w.url+"/docs"), chromedp.WaitVisible(chromedp.CSS(".webhooks .opblock")))
}

// unfold opens the details of an operation.
func (b *browser) unfold(operation string) {
	b.t.Helper()
	b.do(
		chromedp.Click(chromedp.CSS(operation+" .opblock-summary-control")),
		chromedp.WaitVisible(chromedp.CSS(operation+" .responses-table")),
	)
}

const generate = "#operations-Jobs-generate"

func TestThePage(t *testing.T) {
	t.Parallel()
	chromium := chromiumtest.Start(t)
	for promise, test := range map[string]func(*testing.T, *browser){
		"it shows every operation, and talks to nobody else": showsEveryOperation,
		"a request is tried out on it":                       triesOut,
		"axe finds nothing, by day":                          func(t *testing.T, b *browser) { isAccessible(t, b, "light") },
		"axe finds nothing, by night":                        func(t *testing.T, b *browser) { isAccessible(t, b, "dark") },
		"it fits a phone":                                    fitsAPhone,
		"it is used by keys":                                 isUsedByKeys,
	} {
		t.Run(promise, func(t *testing.T) { test(t, browse(chromium, t)) })
	}
}

func showsEveryOperation(t *testing.T, b *browser) {
	w := start(t, setup{})
	b.open(w)
	shown := evaluate[[]string](b, `[...document.querySelectorAll('.opblock')].map(o =>
		o.querySelector('.opblock-summary-method').textContent + ' ' + o.querySelector('[data-path]').dataset.path)`)
	var want []string
	for path, operations := range w.document().at("paths").members() {
		for method := range operations.members() {
			want = append(want, strings.ToUpper(method)+" "+path)
		}
	}
	for _, event := range slices.Concat(ringback.TerminalEvents, []ringback.EventType{ringback.EventStarted, ringback.EventProgress}) {
		want = append(want, "POST "+string(event))
	}
	slices.Sort(want)
	if slices.Sort(shown); !slices.Equal(shown, want) {
		t.Errorf("the page shows %q, want %q", shown, want)
	}

	b.unfold(generate)
	b.unfold(".webhooks .opblock")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, said := range b.said {
		t.Errorf("the console says %s", said)
	}
	for _, url := range b.requests {
		if !strings.HasPrefix(url, w.url+"/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asks for %s", url)
		}
	}
}

func triesOut(t *testing.T, b *browser) {
	w := start(t, setup{api: api.Config{APIKey: "the key"}})
	b.open(w)
	b.do(
		chromedp.Click(chromedp.CSS(".btn.authorize")),
		chromedp.SendKeys(chromedp.CSS(".auth-container input"), "the key"),
		chromedp.Click(chromedp.CSS(".auth-container .btn.authorize")),
		chromedp.Click(chromedp.CSS(".auth-container .btn-done")),
	)
	b.unfold(generate)
	b.tryOut(fmt.Sprintf(`{"prompt": "Hi", "callback_url": %q}`, w.callback))
	if got := evaluate[string](b, `document.querySelector('`+generate+` .live-responses-table .response .response-col_status').textContent`); got != "202" {
		t.Errorf("the page shows the status %s, want 202", got)
	}
	if d, err := w.receiver.Wait(t.Context(), 1); err != nil || len(d) != 1 {
		t.Errorf("webhook: got %v, %v", d, err)
	}
}

// tryOut sends a body to POST /api/generate, pasted into its field.
func (b *browser) tryOut(body string) {
	b.t.Helper()
	field := generate + " .body-param__text"
	b.do(
		chromedp.Click(chromedp.CSS(generate+" .try-out__btn")),
		chromedp.WaitVisible(chromedp.CSS(field)),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector(%q).select()`, field)),
	)
	_, err := chromedp.Call(b.ctx, input.InsertText, input.InsertTextParams{Text: body})
	must(b.t, err)
	b.do(
		chromedp.Click(chromedp.CSS(generate+" .execute")),
		chromedp.WaitVisible(chromedp.CSS(generate+" .live-responses-table .response .response-col_status")),
	)
}

func isAccessible(t *testing.T, b *browser, scheme string) {
	w := start(t, setup{})
	b.scheme(scheme)
	b.open(w)
	if dark := evaluate[bool](b, `document.documentElement.classList.contains('dark-mode')`); dark != (scheme == "dark") {
		t.Errorf("dark mode: got %v", dark)
	}
	b.accessible("as it opens")
	b.unfold(generate)
	b.unfold("#operations-Jobs-erase")
	b.unfold(".webhooks .opblock")
	b.do(chromedp.Click(chromedp.CSS(".webhooks .tablinks[data-name=model]")))
	b.tryOut(fmt.Sprintf(`{"prompt": "Hi", "callback_url": %q}`, w.callback))
	b.do(
		chromedp.Click(chromedp.CSS(".models-control")),
		chromedp.WaitVisible(chromedp.CSS(".models .json-schema-2020-12")),
	)
	b.accessible("unfolded and tried out")
	b.do(chromedp.Click(chromedp.CSS(".btn.authorize")), chromedp.WaitVisible(chromedp.CSS(".auth-container")))
	b.accessible("with the dialog for the key")
}

func fitsAPhone(t *testing.T, b *browser) {
	w := start(t, setup{})
	b.do(chromedp.EmulateViewport(360, 740))
	b.open(w)
	b.unfold(generate)
	if over := evaluate[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		t.Errorf("the page is %d px wider than a phone", over)
	}
}

func isUsedByKeys(t *testing.T, b *browser) {
	w := start(t, setup{})
	b.open(w)
	for range 50 {
		if evaluate[bool](b, `document.activeElement.closest('`+generate+`') !== null`) {
			break
		}
		b.do(chromedp.KeyEvent("\t"))
	}
	b.do(chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS(generate+" .responses-table")))
}
