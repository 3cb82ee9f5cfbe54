package api

import (
	"bytes"
	"context"
	"net/http"

	"github.com/ringback/ringback/internal/intake"
	"github.com/ringback/ringback/internal/strictjson"
)

// POST /api/jobs/{id}/retry
func (s *Server) retry(ctx context.Context, c *call) (reply, error) {
	patch, err := decodePatch(c.body)
	if err != nil {
		return reply{}, err
	}
	job, err := s.node.Replay(ctx, c.caller.Project, c.id, *patch)
	return reply{status: http.StatusAccepted, header: http.Header{"Location": {job.StatusURL}}, body: job}, err
}

// decodePatch reads what a replay changes: settings of the job by their names, and a merge
// patch of everything else, in which a null does not mean absence: it removes.
func decodePatch(body []byte) (*intake.Patch, error) {
	patch := new(intake.Patch)
	if len(bytes.TrimSpace(body)) == 0 {
		return patch, nil
	}
	members, err := strictjson.ParseObject(body)
	if err != nil {
		return nil, err
	}
	var rest []strictjson.Field
	for _, m := range members {
		switch why, elsewhere := notInPatch[m.Name]; {
		case elsewhere:
			return nil, strictjson.Within(m.Name, &strictjson.Error{Message: why})
		case !intake.IsSetting(m.Name):
			rest = append(rest, m)
		default:
			if err := readGenerate(&patch.Settings, m.Name, m.Value); err != nil {
				return nil, strictjson.Within(m.Name, err)
			}
			patch.Given = append(patch.Given, m.Name)
		}
	}
	if len(rest) > 0 {
		patch.Request = joinObject(rest)
	}
	return patch, nil
}

// notInPatch are fields of POST /api/generate that the stored request has in another form.
var notInPatch = map[string]string{
	"prompt":        "is not part of the stored request; patch messages, which GET /api/jobs/{id}?include=request shows",
	"params":        "is not part of the stored request; its fields stand there by themselves: patch temperature, not params.temperature",
	"stream":        "is Ringback's to set; leave it out",
	"stream_to":     "can't be changed for a replay; leave it out",
	"on_disconnect": "can't be changed for a replay; leave it out",
}

// joinObject joins members into one JSON object.
func joinObject(members []strictjson.Field) []byte {
	object := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			object = append(object, ',')
		}
		object = append(strictjson.AppendEscaped(append(object, '"'), []byte(m.Name)), '"', ':')
		object = append(object, m.Value...)
	}
	return append(object, '}')
}
