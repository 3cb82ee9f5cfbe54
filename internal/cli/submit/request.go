package submit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/terminal"
)

// requestFlag is a flag for a field of POST /api/generate.
type requestFlag struct {
	flag, field string
	meta, help  string
	read        func(values []string) (any, error)
}

// requestFlags has all fields except prompt, messages and stream, which are set otherwise.
var requestFlags = []requestFlag{
	{"model", "model", "MODEL", "the model; default: the server's", lastText},
	{"callback-url", "callback_url", "URL", "where the webhooks go", lastText},
	{"max-tokens", "max_tokens", "N", "end the answer after this many tokens", number},
	{"system", "system", "TEXT", "the system prompt", lastText},
	{"metadata", "metadata", "KEY=VALUE", "metadata for the job, returned with it everywhere; repeat it", textPairs},
	{"priority", "priority", "N", "from 0 to 9; among jobs that wait for the same model, a higher one goes first", number},
	{"run-at", "run_at", "TIME", "do not start before this: RFC 3339, or how long from now: 90m, 36h", moment},
	{"expires-at", "expires_at", "TIME", "end the job if it is still waiting then; same format as --run-at", moment},
	{"fallback-model", "fallback_models", "MODEL", "try this model when the one before has no answer; repeat it", list},
	{"param", "params", "KEY=JSON", "another field of the provider's request, such as temperature=0.2; repeat it", jsonPairs},
	{"provider", "provider", "NAME", "the provider; default: by the model", lastText},
	{"provider-header", "provider_headers", "NAME=VALUE", "a header for the provider, such as anthropic-beta; repeat it", textPairs},
	{"timeout-seconds", "timeout_seconds", "N", "time limit of one attempt", number},
	{"max-attempts", "max_attempts", "N", "how many attempts may fail", number},
	{"max-wait-seconds", "max_wait_seconds", "N", "how long the provider may refuse the job", number},
	{"retry-uncertain", "retry_uncertain", "always|never", "what to do about an attempt that a crash left without an outcome", lastText},
	{"result-ttl-seconds", "result_ttl_seconds", "N", "how long the answer is kept", number},
	{"event", "events", "TYPE", "a webhook that you want, such as job.failed; default: the four that end a job; repeat it", list},
	{"webhook-body", "webhook_body", "full|result|thin", "how much a webhook contains", lastText},
	{"stream-to", "stream_to", "URL", "where to push the events while the job runs: http(s):// gets a POST that is held open, ws(s):// gets messages", lastText},
	{"on-disconnect", "on_disconnect", "continue|cancel", "what to do with the job when every client that waited for it or watched it has left", lastText},
	{"callback-header", "callback_headers", "NAME=VALUE", "a header for the receiver; repeat it", textPairs},
}

func addRequestFlags(flags *pflag.FlagSet) {
	for _, f := range requestFlags {
		flags.StringArray(f.flag, nil, fmt.Sprintf("`%s` %s", f.meta, f.help))
	}
}

// promptSource is where the prompt may come from.
type promptSource struct {
	args          []string
	file, request string
}

// maxRequest limits a prompt or a request, in bytes, to what the server accepts.
const maxRequest = 32 << 20

// readRequest builds a request from the file, then the flags, then the prompt.
func readRequest(flags *pflag.FlagSet, from promptSource, stdin io.Reader, now time.Time) (ringback.Request, error) {
	fields := map[string]any{}
	if from.request != "" {
		text, err := readInput("--request", from.request, stdin)
		if err != nil {
			return ringback.Request{}, err
		}
		if err := decodeFields(text, &fields); err != nil {
			return ringback.Request{}, fmt.Errorf("--request %s: %w", from.request, err)
		}
	}
	for _, f := range requestFlags {
		values, _ := flags.GetStringArray(f.flag) // made by addRequestFlags
		if len(values) == 0 {
			continue
		}
		value, err := f.read(values)
		if err != nil {
			return ringback.Request{}, fmt.Errorf("--%s: %w", f.flag, err)
		}
		fields[f.field] = merged(fields[f.field], value, now)
	}
	if err := addPrompt(fields, from, stdin); err != nil {
		return ringback.Request{}, err
	}
	return requestOf(fields)
}

// decodeFields decodes a JSON object and keeps its values as they are written.
func decodeFields(text []byte, into *map[string]any) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil || raw == nil {
		return errors.New("is not a JSON object; it must have the fields of POST /api/generate, such as {\"prompt\": \"…\"}")
	}
	for field, value := range raw {
		(*into)[field] = value
	}
	return nil
}

// merged returns a field with the value of its flag: it adds keys to an object, adds a
// duration to now for a time, and replaces any other value.
func merged(old, value any, now time.Time) any {
	switch v := value.(type) {
	case time.Duration:
		return ringback.Time{Time: now.Add(v)}
	case map[string]json.RawMessage:
		whole := map[string]json.RawMessage{}
		if raw, ok := old.(json.RawMessage); ok {
			_ = json.Unmarshal(raw, &whole) // anything but an object is replaced
		}
		maps.Copy(whole, v)
		return whole
	}
	return value
}

// addPrompt adds the prompt, from the one source that has it.
func addPrompt(fields map[string]any, from promptSource, stdin io.Reader) error {
	_, hasPrompt := fields["prompt"]
	_, hasMessages := fields["messages"]
	given := hasPrompt || hasMessages
	if len(from.args) > 0 && from.file != "" {
		return errors.New("there are two prompts: an argument and --file")
	}
	switch {
	case len(from.args) > 0 && from.args[0] != "-":
		fields["prompt"] = from.args[0]
	case len(from.args) > 0:
		return promptFrom(fields, "the prompt", "-", stdin)
	case from.file != "":
		return promptFrom(fields, "--file", from.file, stdin)
	case given:
		return nil
	case terminal.Interactive(stdin) || from.request == "-":
		return errors.New("there is no prompt; pass it as an argument, with --file, or on stdin. See: ringback submit --help")
	default:
		return promptFrom(fields, "the prompt", "-", stdin)
	}
	if hasMessages {
		return errors.New("the request has messages, so it cannot have a prompt")
	}
	return nil
}

func promptFrom(fields map[string]any, what, file string, stdin io.Reader) error {
	text, err := readInput(what, file, stdin)
	if err != nil {
		return err
	}
	prompt := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if prompt == "" {
		return fmt.Errorf("%s %s is empty; it should hold the prompt", what, stdinName(file))
	}
	if !utf8.ValidString(prompt) {
		return fmt.Errorf("%s %s is not text in UTF-8", what, stdinName(file))
	}
	if _, ok := fields["messages"]; ok {
		return errors.New("the request has messages, so it cannot have a prompt")
	}
	fields["prompt"] = prompt
	return nil
}

// readInput reads a file, or stdin if its name is -.
func readInput(what, file string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxRequest+1))
	if err != nil {
		return nil, fmt.Errorf("%s: read %s: %w", what, stdinName(file), err)
	}
	if len(text) > maxRequest {
		return nil, fmt.Errorf("%s %s is longer than the 32 MiB that a server accepts", what, stdinName(file))
	}
	return text, nil
}

func stdinName(file string) string {
	if file == "-" {
		return "(stdin)"
	}
	return file
}

// requestOf decodes a request. Like the server, it refuses unknown fields.
func requestOf(fields map[string]any) (ringback.Request, error) {
	var r ringback.Request
	text, err := json.Marshal(fields)
	if err != nil {
		return r, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err = d.Decode(&r)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return r, fmt.Errorf("--request: %s cannot be a %s", wrong.Field, wrong.Value)
	}
	if err != nil {
		return r, fmt.Errorf("--request: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return r, nil
}

func lastText(values []string) (any, error) { return values[len(values)-1], nil }

func list(values []string) (any, error) { return values, nil }

func number(values []string) (any, error) {
	text := values[len(values)-1]
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}

// moment parses a time, or a duration from now.
func moment(values []string) (any, error) {
	text := values[len(values)-1]
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a time like 2026-11-23T09:00:00Z nor a span from now like 90m", text)
	}
	return ringback.Time{Time: t}, nil
}

func textPairs(values []string) (any, error) {
	return pairs(values, func(s string) (json.RawMessage, error) { return json.Marshal(s) })
}

func jsonPairs(values []string) (any, error) {
	return pairs(values, func(s string) (json.RawMessage, error) {
		if !json.Valid([]byte(s)) {
			return nil, fmt.Errorf("%q is not JSON; a string needs quotation marks: '\"%s\"'", s, s)
		}
		return json.RawMessage(s), nil
	})
}

func pairs(values []string, read func(string) (json.RawMessage, error)) (any, error) {
	all := map[string]json.RawMessage{}
	for _, pair := range values {
		key, text, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q is not like key=value", pair)
		}
		value, err := read(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		all[key] = value
	}
	return all, nil
}
