package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

// ErrTooDeep is returned by [Body] for a response nested deeper than
// [strictjson.MaxJavaScriptDepth].
var ErrTooDeep = strictjson.ErrTooDeep

// Body returns an event as the bytes of a webhook: its JSON, made canonical. It returns
// what encoding/json and [strictjson.JavaScript] return.
//
// The result and the response, which may be large, are inserted at the end, so that each is
// copied once; the response is made canonical separately, since encoding/json would check
// it first, byte by byte.
func Body(e ringback.Event) ([]byte, error) {
	response, result := e.Response, e.Result
	e.Response = json.RawMessage("0")
	if result != nil {
		e.Result = new("")
	}
	enc := encoders.Get().(*encoder)
	defer enc.leave()
	event, err := enc.canonical(&e)
	if err != nil {
		return nil, err
	}
	if len(response) > 0 {
		if response, err = strictjson.JavaScriptAt(response, 1); err != nil {
			return nil, err
		}
	}
	// No string contains these bytes, since its quotes are escaped, and no object precedes
	// them.
	before, after, _ := bytes.Cut(event, []byte(`"response":0,`))
	body := make([]byte, 0, len(event)+strictjson.JavaScriptLen(result)+len(response))
	if body = append(body, before...); result != nil { // the preceding member
		body = append(strictjson.AppendJavaScript(body[:len(body)-len(`"",`)], *result), ',')
	}
	if len(response) > 0 {
		body = append(append(append(body, `"response":`...), response...), ',')
	}
	return append(body, after...), nil
}

// An encoder writes JSON to memory that it reuses.
type encoder struct {
	out  bytes.Buffer
	json *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.json = json.NewEncoder(&e.out)
	e.json.SetEscapeHTML(false)
	return e
}}

// leave returns the encoder to the pool, unless its memory has become large.
func (e *encoder) leave() {
	const kept = 64 << 10 // bytes
	if e.out.Cap() <= kept {
		encoders.Put(e)
	}
}

// canonical returns v in bytes that are valid until it is called again.
func (e *encoder) canonical(v any) ([]byte, error) {
	e.out.Reset()
	if err := e.json.Encode(v); err != nil {
		return nil, fmt.Errorf("encode webhook body: %w", err)
	}
	return strictjson.JavaScript(e.out.Bytes())
}
