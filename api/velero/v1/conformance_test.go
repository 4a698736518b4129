package v1_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/podkeep/podkeep/config/crd"
)

// ownFields are the fields that podkeep adds, with all fields below them.
var ownFields = map[string][]string{
	"Backup":                {"status.conditions"},
	"BackupRepository":      {"status.conditions"},
	"BackupStorageLocation": {"status.conditions"},
	"DeleteBackupRequest":   {"status.conditions"},
	"DownloadRequest":       {"status.conditions"},
	"PodVolumeBackup":       {"status.conditions", "status.skippedFiles"},
	"PodVolumeRestore":      {"status.conditions", "status.skippedFiles", "status.lostAttributes"},
	"Restore":               {"status.conditions"},
	"Schedule":              {"status.conditions"},
}

// field is what a schema says about one field. Paths are dotted, with [] for the
// items of a list and {} for the values of a map.
type field struct {
	Type     string   `json:"type"`
	Format   string   `json:"format,omitempty"`
	Enum     []string `json:"enum,omitempty"`
	Required []string `json:"required,omitempty"`
	Nullable bool     `json:"nullable,omitempty"`
	Default  *string  `json:"default,omitempty"`
}

// column is what a CRD says about one printer column.
type column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	JSONPath string `json:"jsonPath"`
}

// kind is what a CRD says about one kind.
type kind struct {
	Group          string                                        `json:"group"`
	Version        string                                        `json:"version"`
	Scope          string                                        `json:"scope"`
	Names          apiextensionsv1.CustomResourceDefinitionNames `json:"names"`
	PrinterColumns []column                                      `json:"printerColumns"`
	Subresources   apiextensionsv1.CustomResourceSubresources    `json:"subresources"`
	Fields         map[string]field                              `json:"fields"`
}

func TestCRDsConformToVelero(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	want := map[string]kind{}
	decoder := json.NewDecoder(bytes.NewReader(fixture(t, "crd-fields.json")))
	decoder.DisallowUnknownFields() // what the file says and the test does not compare is an error
	g.Expect(decoder.Decode(&want)).To(Succeed())
	got := generatedKinds(t)

	g.Expect(got).To(HaveLen(len(want)))
	for name := range want {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			g.Expect(got).To(HaveKey(name))
			gotKind, wantKind := got[name], want[name]
			gotFields, wantFields := withoutOwn(t, name, gotKind.Fields), wantKind.Fields
			gotKind.Fields, wantKind.Fields = nil, nil

			g.Expect(gotKind).To(Equal(wantKind))
			for _, path := range slices.Sorted(maps.Keys(wantFields)) {
				g.Expect(gotFields).To(HaveKey(path))
				g.Expect(gotFields[path]).To(Equal(wantFields[path]), path)
			}
			for _, path := range slices.Sorted(maps.Keys(gotFields)) {
				g.Expect(wantFields).To(HaveKey(path), "a field that Velero does not have and ownFields does not list")
			}
		})
	}
}

// withoutOwn returns the fields of a kind that are not in ownFields, and fails
// when ownFields lists one that does not exist.
func withoutOwn(t *testing.T, kindName string, fields map[string]field) map[string]field {
	t.Helper()
	rest := maps.Clone(fields)
	for _, own := range ownFields[kindName] {
		NewWithT(t).Expect(fields).To(HaveKey(own), "listed in ownFields")
		maps.DeleteFunc(rest, func(path string, _ field) bool {
			below, ok := strings.CutPrefix(path, own)
			return ok && (below == "" || strings.ContainsAny(below[:1], ".[{"))
		})
	}
	return rest
}

func generatedKinds(t *testing.T) map[string]kind {
	t.Helper()
	g := NewWithT(t)
	crds, err := crd.All()
	g.Expect(err).NotTo(HaveOccurred())

	kinds := map[string]kind{}
	for _, c := range crds {
		g.Expect(c.Spec.Versions).To(HaveLen(1), c.Name)
		version := c.Spec.Versions[0]
		k := kind{
			Group:          c.Spec.Group,
			Version:        version.Name,
			Scope:          string(c.Spec.Scope),
			Names:          c.Spec.Names,
			PrinterColumns: []column{},
			Fields:         map[string]field{},
		}
		if version.Subresources != nil {
			k.Subresources = *version.Subresources
		}
		for _, p := range version.AdditionalPrinterColumns {
			k.PrinterColumns = append(k.PrinterColumns, column{Name: p.Name, Type: p.Type, JSONPath: p.JSONPath})
		}
		for _, top := range []string{"spec", "status"} {
			collect(t, k.Fields, top, version.Schema.OpenAPIV3Schema.Properties[top])
		}
		kinds[c.Spec.Names.Kind] = k
	}
	return kinds
}

// collect adds the field at path and all fields below it.
func collect(t *testing.T, into map[string]field, path string, schema apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	g := NewWithT(t)
	f := field{Type: schema.Type, Format: schema.Format, Required: schema.Required, Nullable: schema.Nullable}
	for _, value := range schema.Enum {
		var text string
		g.Expect(json.Unmarshal(value.Raw, &text)).To(Succeed(), path)
		f.Enum = append(f.Enum, text)
	}
	if schema.Default != nil {
		f.Default = new(string)
		g.Expect(json.Unmarshal(schema.Default.Raw, f.Default)).To(Succeed(), path)
	}
	into[path] = f

	for name, property := range schema.Properties {
		collect(t, into, path+"."+name, property)
	}
	if schema.Items != nil {
		collect(t, into, path+"[]", *schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil {
		collect(t, into, path+"{}", *schema.AdditionalProperties.Schema)
	}
}
