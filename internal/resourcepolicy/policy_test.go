package resourcepolicy

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/podkeep/podkeep/internal/filter"
)

const everyField = `
version: v1
volumePolicies:
- conditions:
    capacity: "10Gi,100Gi"
    storageClass: [gp2, ebs-sc]
    nfs: {server: s, path: /p}
    csi: {driver: d, volumeAttributes: {k: v}}
    volumeTypes: [emptyDir, csi]
    pvcLabels: {k: v}
    pvcPhase: [Pending, Lost]
  action:
    type: custom
    parameters: {anything: [1, 2]}
- conditions: {nfs: {}}
  action: {type: skip}
includeExcludePolicy:
  includedClusterScopedResources: [a]
  excludedClusterScopedResources: [b]
  includedNamespaceScopedResources: [c]
  excludedNamespaceScopedResources: [d]
`

func TestParse(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	p, problems := Parse(map[string]string{"any-key": everyField})

	g.Expect(problems).To(BeEmpty())
	g.Expect(p.VolumePolicies).To(HaveLen(2))
	g.Expect(p.VolumePolicies[0].Conditions.CSI).To(Equal(&CSI{Driver: "d", VolumeAttributes: map[string]string{"k": "v"}}))
	g.Expect(p.VolumePolicies[1].Conditions.NFS).To(Equal(&NFS{}), "an empty object is a condition")
	g.Expect(p.Filter()).To(Equal(&filter.Policy{
		ClusterScoped:   filter.Lists{Includes: []string{"a"}, Excludes: []string{"b"}},
		NamespaceScoped: filter.Lists{Includes: []string{"c"}, Excludes: []string{"d"}},
	}))
	g.Expect((&Policies{}).Filter()).To(BeNil())
	var none *Policies
	g.Expect(none.Filter()).To(BeNil())
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()

	policy := func(text string) map[string]string {
		return map[string]string{"p": "version: v1\nvolumePolicies:\n- " + text}
	}
	tests := map[string]struct {
		data map[string]string
		want string // beginning
	}{
		"no key":                    {nil, "data: must have exactly one key, and has 0"},
		"two keys":                  {map[string]string{"a": "version: v1", "b": "version: v1"}, `data: must have exactly one key, and has 2: ["a" "b"]`},
		"no YAML":                   {map[string]string{"p": "{"}, "data[p]: Invalid value: "},
		"another version":           {map[string]string{"p": "version: v2"}, `version: Unsupported value: "v2"`},
		"no version":                {map[string]string{"p": "{}"}, `version: Unsupported value: ""`},
		"unknown key":               {map[string]string{"p": "version: v1\nvolumePolicy: []"}, `data[p]: Invalid value: error unmarshaling`},
		"the same key twice":        {map[string]string{"p": "version: v1\nversion: v1"}, `data[p]: Invalid value: `},
		"unknown condition":         {policy("conditions: {storageClasses: [a]}\n  action: {type: skip}"), `data[p]: Invalid value: `},
		"wrong type":                {policy("conditions: {pvcLabels: [a]}\n  action: {type: skip}"), `data[p]: Invalid value: `},
		"unknown action":            {policy("conditions: {}\n  action: {type: delete}"), `volumePolicies[0].action.type: Unsupported value: "delete"`},
		"no action":                 {policy("conditions: {}"), `volumePolicies[0].action.type: Unsupported value: ""`},
		"capacity without comma":    {policy("conditions: {capacity: 10Gi}\n  action: {type: skip}"), `volumePolicies[0].conditions.capacity: Invalid value: "10Gi"`},
		"capacity that is none":     {policy("conditions: {capacity: 'a,b'}\n  action: {type: skip}"), `volumePolicies[0].conditions.capacity: Invalid value: "a,b"`},
		"capacity upside down":      {policy("conditions: {capacity: '2Gi,1Gi'}\n  action: {type: skip}"), `volumePolicies[0].conditions.capacity: Invalid value: "2Gi,1Gi": must not have a lower`},
		"attributes of no driver":   {policy("conditions: {csi: {volumeAttributes: {a: b}}}\n  action: {type: skip}"), `volumePolicies[0].conditions.csi.driver: Required value`},
		"unknown type of volume":    {policy("conditions: {volumeTypes: [floppy]}\n  action: {type: skip}"), `volumePolicies[0].conditions.volumeTypes: Unsupported value: "floppy"`},
		"unknown phase":             {policy("conditions: {pvcPhase: [Gone]}\n  action: {type: skip}"), `volumePolicies[0].conditions.pvcPhase: Unsupported value: "Gone"`},
		"asterisk in a list":        {map[string]string{"p": "version: v1\nincludeExcludePolicy: {excludedClusterScopedResources: ['*']}"}, `includeExcludePolicy.excludedClusterScopedResources: Invalid value: "*"`},
		"a kind on both sides":      {map[string]string{"p": "version: v1\nincludeExcludePolicy: {includedNamespaceScopedResources: [a], excludedNamespaceScopedResources: [a]}"}, `includeExcludePolicy.excludedNamespaceScopedResources: Invalid value: "a"`},
		"more than a ConfigMap has": {map[string]string{"p": string(make([]byte, MaxBytes+1))}, "data[p]: Too long"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			p, problems := Parse(tc.data)

			g.Expect(p).To(BeNil())
			g.Expect(problems).To(HaveLen(1))
			g.Expect(problems[0]).To(HavePrefix(tc.want))
		})
	}
}

func object(o map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: o}
}

// bound is a claim with its volume.
func bound(claim, volume *unstructured.Unstructured) Volume {
	v := OfClaim(claim)
	v.SetPersistentVolume(volume)
	return v
}

func TestMatch(t *testing.T) {
	t.Parallel()

	claim := object(map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"tier": "db", "zone": "a"}}, "status": map[string]any{"phase": "Bound"},
	})
	csi := bound(claim, object(map[string]any{"spec": map[string]any{
		"capacity": map[string]any{"storage": "20Gi"}, "storageClassName": "gp2",
		"csi": map[string]any{"driver": "ebs", "volumeAttributes": map[string]any{"fs": "ext4", "type": "ssd"}},
	}}))
	nfs := bound(claim, object(map[string]any{"spec": map[string]any{
		"capacity": map[string]any{"storage": "1Ti"}, "nfs": map[string]any{"server": "s1", "path": "/a"},
	}}))
	unbound := OfClaim(object(map[string]any{"status": map[string]any{"phase": "Pending"}}))
	emptyDir := OfPodVolume(map[string]any{"name": "cache", "emptyDir": map[string]any{}})

	tests := map[string]struct {
		conditions Conditions
		want       map[string]bool
	}{
		"none":                       {Conditions{}, map[string]bool{"csi": true, "nfs": true, "unbound": true, "emptyDir": true}},
		"capacity in a range":        {Conditions{Capacity: "10Gi,20Gi"}, map[string]bool{"csi": true}},
		"capacity from":              {Conditions{Capacity: "100Gi,"}, map[string]bool{"nfs": true}},
		"capacity up to":             {Conditions{Capacity: ",10Gi"}, map[string]bool{"unbound": true, "emptyDir": true}},
		"capacity without bounds":    {Conditions{Capacity: ","}, map[string]bool{"csi": true, "nfs": true, "unbound": true, "emptyDir": true}},
		"storage class":              {Conditions{StorageClass: []string{"gp2", "x"}}, map[string]bool{"csi": true}},
		"any NFS":                    {Conditions{NFS: &NFS{}}, map[string]bool{"nfs": true}},
		"a server":                   {Conditions{NFS: &NFS{Server: "s1"}}, map[string]bool{"nfs": true}},
		"another path":               {Conditions{NFS: &NFS{Server: "s1", Path: "/b"}}, nil},
		"any CSI":                    {Conditions{CSI: &CSI{}}, map[string]bool{"csi": true}},
		"attributes":                 {Conditions{CSI: &CSI{Driver: "ebs", VolumeAttributes: map[string]string{"fs": "ext4"}}}, map[string]bool{"csi": true}},
		"other attributes":           {Conditions{CSI: &CSI{Driver: "ebs", VolumeAttributes: map[string]string{"fs": "xfs"}}}, nil},
		"another driver":             {Conditions{CSI: &CSI{Driver: "efs"}}, nil},
		"types":                      {Conditions{VolumeTypes: []string{"emptyDir", "nfs"}}, map[string]bool{"emptyDir": true, "nfs": true}},
		"labels":                     {Conditions{PVCLabels: map[string]string{"tier": "db"}}, map[string]bool{"csi": true, "nfs": true}},
		"labels that are not there":  {Conditions{PVCLabels: map[string]string{"tier": "db", "x": "y"}}, nil},
		"phase":                      {Conditions{PVCPhase: []string{"Pending"}}, map[string]bool{"unbound": true}},
		"all conditions must be met": {Conditions{StorageClass: []string{"gp2"}, Capacity: "100Gi,"}, nil},
	}
	volumes := map[string]Volume{"csi": csi, "nfs": nfs, "unbound": unbound, "emptyDir": emptyDir}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			p := &Policies{VolumePolicies: []VolumePolicy{{Conditions: tc.conditions, Action: Action{Type: ActionSkip}}}}

			for kind, v := range volumes {
				_, ok := p.Match(v)
				g.Expect(ok).To(Equal(tc.want[kind]), kind)
			}
		})
	}
}

func TestFirstPolicyWins(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	p := &Policies{VolumePolicies: []VolumePolicy{
		{Conditions: Conditions{NFS: &NFS{}}, Action: Action{Type: ActionSkip}},
		{Action: Action{Type: ActionFSBackup}},
		{Action: Action{Type: ActionSnapshot}},
	}}

	action, ok := p.Match(Volume{})

	g.Expect(ok).To(BeTrue())
	g.Expect(action.Type).To(Equal(ActionFSBackup))
	var none *Policies
	_, ok = none.Match(Volume{})
	g.Expect(ok).To(BeFalse())
}

func FuzzParse(f *testing.F) {
	f.Add(everyField)
	f.Add("version: v1")
	f.Fuzz(func(t *testing.T, text string) {
		p, problems := Parse(map[string]string{"p": text})
		if (p == nil) == (len(problems) == 0) {
			t.Fatalf("either policies or problems: %v %q", p, problems)
		}
	})
}
