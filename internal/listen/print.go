package listen

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
)

// printer prints webhooks, each in one piece.
type printer struct {
	json  bool
	paint terminal.Painter

	mu  sync.Mutex // guards out
	out io.Writer
}

// maxPrinted is how much of a body is shown as text, in bytes.
const maxPrinted = 64 << 10

func newPrinter(out io.Writer, asJSON bool) *printer {
	return &printer{json: asJSON, paint: terminal.Painter(terminal.Of(out).Color), out: out}
}

// webhook prints a webhook.
func (p *printer) webhook(r received) {
	text := p.human(r)
	if p.json {
		text = machine(r)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.out, text) // an error means that the pipe is closed
}

// human returns a webhook for people: a line about it, and its body.
func (p *printer) human(r received) string {
	var b strings.Builder
	job := gjson.GetBytes(r.body, "job_id").String()
	fmt.Fprintf(&b, "%s %s %s · %s\n", p.paint.Dim(r.at.Format(time.TimeOnly)), p.paint.Bold(plain.Printable(cmp.Or(r.event, "POST "+r.path))),
		plain.Printable(job), p.verdict(r))
	if r.id != "" {
		fmt.Fprintf(&b, "         webhook-id %s · answered %d\n", plain.Printable(r.id), r.status)
	}
	if r.sent != nil {
		b.WriteString(p.forwarded(r))
	}
	fmt.Fprintf(&b, "%s\n\n", readable(r.body))
	return b.String()
}

// forwarded returns two lines about a webhook that was forwarded.
func (p *printer) forwarded(r received) string {
	paint, result := p.paint.Green, plain.Millis(r.sent.took.Milliseconds())
	switch {
	case r.sent.err != nil:
		paint, result = p.paint.Red, plain.Printable(r.sent.err.Error())
	case r.sent.status < 200 || r.sent.status > 299:
		paint = p.paint.Red
	}
	return fmt.Sprintf("         --> %s [%s]\n         <-- %s POST %s %s\n",
		plain.Printable(r.event), plain.Printable(r.id), paint(fmt.Sprintf("[%d]", r.sent.status)), plain.Printable(r.sent.url), result)
}

func (p *printer) verdict(r received) string {
	verified := "both signatures verified"
	if r.rotating {
		verified = "webhook-signature verified (X-Webhook-Signature uses a newer secret)"
	}
	switch {
	case r.message != nil && r.simple != nil:
		return p.paint.Red(fmt.Sprintf("NOT VERIFIED: %v. Does the server have the same WEBHOOK_SECRET?", r.message))
	case r.message != nil:
		return p.paint.Red(fmt.Sprintf("NOT VERIFIED: webhook-signature: %v", r.message))
	case r.simple != nil:
		return p.paint.Red(fmt.Sprintf("NOT VERIFIED: X-Webhook-Signature: %v", r.simple))
	case r.changed:
		return p.paint.Red(fmt.Sprintf("%s · same webhook-id, OTHER BYTES than before (try %d)", verified, r.try))
	case r.resized:
		return p.paint.Green(verified) + fmt.Sprintf(" · duplicate: try %d with this webhook-id, the same event in another form", r.try)
	case r.try > 1:
		return p.paint.Green(verified) + fmt.Sprintf(" · duplicate: try %d with this webhook-id, same bytes", r.try)
	default:
		return p.paint.Green(verified)
	}
}

// readable returns a body for people: indented if it is JSON, quoted otherwise.
func readable(body []byte) string {
	var b bytes.Buffer
	var text string
	if json.Indent(&b, body, "         ", "  ") == nil {
		text = "         " + plain.Printable(b.String())
	} else {
		text = "         " + strconv.Quote(string(body))
	}
	if len(text) > maxPrinted {
		return fmt.Sprintf("%s\n         … and %d bytes more; --json prints all", strings.ToValidUTF8(text[:maxPrinted], ""), len(text)-maxPrinted)
	}
	return text
}

// forwardedJSON is the outcome of forwarding a webhook, for programs.
type forwardedJSON struct {
	URL        string `json:"url"`
	Status     int    `json:"status"`
	DurationMS int64  `json:"duration_ms"`
	Error      string `json:"error,omitempty"`
}

// machine returns a webhook as one line of JSON.
func machine(r received) string {
	line := struct {
		ReceivedAt string          `json:"received_at"`
		Method     string          `json:"method"`
		Path       string          `json:"path"`
		WebhookID  string          `json:"webhook_id"`
		Try        int             `json:"try"`
		Duplicate  bool            `json:"duplicate"`
		Verified   bool            `json:"verified"`
		Error      string          `json:"error,omitempty"`
		Status     int             `json:"status"`
		Forwarded  *forwardedJSON  `json:"forwarded,omitempty"`
		Body       json.RawMessage `json:"body"`
	}{
		ReceivedAt: r.at.UTC().Format("2006-01-02T15:04:05.000Z"), Method: r.method, Path: r.path,
		WebhookID: r.id, Try: r.try, Duplicate: r.try > 1, Verified: r.verified(), Status: r.status, Body: r.body,
	}
	if err := cmp.Or(r.message, r.simple); err != nil {
		line.Error = err.Error()
	} else if r.changed {
		line.Error = "this webhook-id came with other bytes before"
	}
	if f := r.sent; f != nil {
		line.Forwarded = &forwardedJSON{URL: f.url, Status: f.status, DurationMS: f.took.Milliseconds()}
		if f.err != nil {
			line.Forwarded.Error = f.err.Error()
		}
	}
	if !json.Valid(r.body) {
		line.Body = quoted(r.body)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(line); err != nil {
		panic(err) // texts, numbers and valid JSON encode
	}
	return b.String()
}

// quoted returns a body that is not JSON as a JSON string.
func quoted(body []byte) json.RawMessage {
	text, err := json.Marshal(string(body))
	if err != nil {
		panic(err) // a string encodes
	}
	return text
}
