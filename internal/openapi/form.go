package openapi

import (
	"encoding/json"

	"github.com/ringback/ringback"
)

// The parts of an OpenAPI document that we need.
type (
	document struct {
		OpenAPI    string                           `json:"openapi"`
		Info       info                             `json:"info"`
		Servers    []server                         `json:"servers"`
		Tags       []tag                            `json:"tags"`
		Security   []map[string][]string            `json:"security"`
		Paths      map[string]map[string]*operation `json:"paths"`
		Webhooks   map[string]map[string]*operation `json:"webhooks"`
		Components components                       `json:"components"`
	}
	info struct {
		Title       string  `json:"title"`
		Version     string  `json:"version"`
		Summary     string  `json:"summary"`
		Description string  `json:"description"`
		License     license `json:"license"`
	}
	license struct {
		Name       string `json:"name"`
		Identifier string `json:"identifier"`
	}
	server struct {
		URL         string `json:"url"`
		Description string `json:"description"`
	}
	tag struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	components struct {
		Schemas         map[string]*schema           `json:"schemas"`
		Responses       map[ringback.Code]*response  `json:"responses"`
		Headers         map[string]*parameter        `json:"headers"`
		SecuritySchemes map[string]map[string]string `json:"securitySchemes"`
	}
	operation struct {
		ID          string                `json:"operationId"`
		Tags        []string              `json:"tags,omitempty"`
		Summary     string                `json:"summary"`
		Description string                `json:"description,omitempty"`
		Security    []map[string][]string `json:"security,omitzero"` // nil: the document's
		Parameters  []*parameter          `json:"parameters,omitempty"`
		RequestBody *requestBody          `json:"requestBody,omitempty"`
		Responses   map[string]*response  `json:"responses"`
	}
	// A parameter without a name is a header of a response.
	parameter struct {
		Name        string  `json:"name,omitempty"`
		In          string  `json:"in,omitempty"`
		Description string  `json:"description,omitempty"`
		Required    bool    `json:"required,omitempty"`
		Style       string  `json:"style,omitempty"`
		Explode     bool    `json:"explode,omitempty"`
		Schema      *schema `json:"schema,omitempty"`
		Example     any     `json:"example,omitempty"`
		Ref         string  `json:"$ref,omitempty"`
	}
	requestBody struct {
		Required bool              `json:"required"`
		Content  map[string]*media `json:"content"`
	}
	response struct {
		Ref         string                 `json:"$ref,omitempty"`
		Description string                 `json:"description,omitempty"`
		Headers     map[string]*parameter  `json:"headers,omitempty"`
		Content     map[string]*media      `json:"content,omitempty"`
		Links       map[string]*answerLink `json:"links,omitempty"`
	}
	answerLink struct {
		OperationID string            `json:"operationId"`
		Parameters  map[string]string `json:"parameters"`
	}
	media struct {
		Schema   *schema                  `json:"schema"`
		Example  json.RawMessage          `json:"example,omitempty"`
		Examples map[string]*namedExample `json:"examples,omitempty"`
	}
	namedExample struct {
		Summary string          `json:"summary,omitempty"`
		Value   json.RawMessage `json:"value"`
	}
)
