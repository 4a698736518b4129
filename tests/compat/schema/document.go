package schema

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"
)

// unpack returns the content of a gzip file, or false.
func (c *checker) unpack(key string) ([]byte, bool) {
	zr, err := gzip.NewReader(bytes.NewReader(c.read(key)))
	if err == nil {
		var content []byte
		if content, err = io.ReadAll(zr); err == nil {
			return content, true
		}
	}
	c.add(key, RuleGzip, "%v", err)
	return nil, false
}

// document reads a compressed JSON document into v, whose types have every field
// that Velero knows. It reports whether that went well.
func (c *checker) document(key string, v any) bool {
	content, ok := c.unpack(key)
	if !ok {
		return false
	}
	c.checkEncoding(key, content)
	return c.strict(key, content, v)
}

// checkEncoding wants what Go's json.Encoder writes (velero-facts §1.5).
func (c *checker) checkEncoding(key string, content []byte) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, content); err != nil {
		c.add(key, RuleJSON, "%v", err)
		return
	}
	compact.WriteByte('\n')
	if !bytes.Equal(compact.Bytes(), content) {
		c.add(key, RuleJSON, "is not one compact document and a line break")
	}
	if bytes.ContainsAny(content, "<>&") {
		c.add(key, RuleJSON, "has characters of HTML that are not escaped")
	}
}

var unknownField = regexp.MustCompile(`unknown field`)

// strict decodes one document and refuses fields that v does not have.
func (c *checker) strict(key string, content []byte, v any) bool {
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var wrongType *json.UnmarshalTypeError
	var wrongTime *time.ParseError
	switch {
	case err == nil:
		return true
	case unknownField.MatchString(err.Error()):
		c.add(key, RuleField, "%v", err)
	case errors.As(err, &wrongType), errors.As(err, &wrongTime):
		c.add(key, RuleType, "%v", err)
	default:
		c.add(key, RuleJSON, "%v", err)
	}
	return false
}

// object is a JSON object of which the keys are looked at.
type object map[string]json.RawMessage

// requireKeys wants keys that Velero always writes.
func (c *checker) requireKeys(key, where string, o object, keys ...string) {
	for _, k := range keys {
		if _, ok := o[k]; !ok {
			c.add(key, RuleRequired, "%s has no %q", where, k)
		}
	}
}

// line of a log: text as logrus writes it, or JSON.
var (
	logLine  = regexp.MustCompile(`^time="([^"]+)" level=(debug|info|warning|error) msg=("(\\.|[^"\\])*"|[^ "]+)( |$)`)
	jsonLine = regexp.MustCompile(`^\{.*\}$`)
)

// checkLog wants lines that name their backup or restore.
func (c *checker) checkLog(key, field string) {
	content, ok := c.unpack(key)
	if !ok || len(content) == 0 {
		return
	}
	if !bytes.HasSuffix(content, []byte("\n")) {
		c.add(key, RuleLog, "the last line is not complete")
	}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		match := logLine.FindStringSubmatch(line)
		switch {
		case jsonLine.MatchString(line):
			c.checkJSONLine(key, line)
			continue
		case match == nil:
			c.add(key, RuleLog, "is no line of a log: %.200s", line)
			continue
		case !strings.Contains(line, field):
			c.add(key, RuleLog, "has no %s: %.200s", field, line)
		}
		if _, err := time.Parse(time.RFC3339, match[1]); err != nil {
			c.add(key, RuleLog, "%v", err)
		}
	}
}

func (c *checker) checkJSONLine(key, line string) {
	var fields object
	if c.strict(key, []byte(line), &fields) {
		c.requireKeys(key, "a line", fields, "time", "level", "msg")
	}
}

// results of a backup or restore.
type results struct {
	Errors   *resultSet `json:"errors"`
	Warnings *resultSet `json:"warnings"`
}

type resultSet struct {
	Velero     []string            `json:"velero"`
	Cluster    []string            `json:"cluster"`
	Namespaces map[string][]string `json:"namespaces"`
}

func (s *resultSet) count() int {
	n := len(s.Velero) + len(s.Cluster)
	for _, messages := range s.Namespaces {
		n += len(messages)
	}
	return n
}

// checkResults returns how many errors and warnings there are.
func (c *checker) checkResults(key string) (errs, warnings int, ok bool) {
	var r results
	if !c.document(key, &r) {
		return 0, 0, false
	}
	if r.Errors == nil || r.Warnings == nil {
		c.add(key, RuleRequired, `"errors" and "warnings" must both be objects`)
		return 0, 0, false
	}
	return r.Errors.count(), r.Warnings.count(), true
}

// checkEmptyList wants the list of operations that file system backup leaves: [].
func (c *checker) checkEmptyList(key, want string) {
	content, ok := c.unpack(key)
	if ok && string(content) != want+"\n" {
		c.add(key, RuleJSON, "is %.100q; file system backup has %s", content, want)
	}
}
