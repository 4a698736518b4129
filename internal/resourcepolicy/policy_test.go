package resourcepolicy

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
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
		"unknown key":               {map[string]string{"p": "version: v1\nvolumePolicy: []"}, `volumePolicy: Unknown field: supported fields: version, volumePolicies, includeExcludePolicy`},
		"a key in other letters":    {map[string]string{"p": "Version: v1"}, `Version: Unknown field: `},
		"the same key twice":        {map[string]string{"p": "version: v1\nversion: v1"}, `version: Duplicate value`},
		"a text for the document":   {map[string]string{"p": "version v1"}, `data[p]: Invalid type: must be an object`},
		"a text for policies":       {map[string]string{"p": "version: v1\nvolumePolicies: all"}, `volumePolicies: Invalid type: must be a list`},
		"a text for a policy":       {policy("skip"), `volumePolicies[0]: Invalid type: must be an object`},
		"a list for conditions":     {policy("conditions: [a]\n  action: {type: skip}"), `volumePolicies[0].conditions: Invalid type: must be an object`},
		"unknown condition":         {policy("conditions: {storageClasses: [a]}\n  action: {type: skip}"), `volumePolicies[0].conditions.storageClasses: Unknown field: supported fields: capacity, storageClass, nfs,`},
		"a text for classes":        {policy("conditions: {storageClass: gp2}\n  action: {type: skip}"), `volumePolicies[0].conditions.storageClass: Invalid type: must be a list`},
		"an object for a class":     {policy("conditions: {storageClass: [a, {b: c}]}\n  action: {type: skip}"), `volumePolicies[0].conditions.storageClass[1]: Invalid type: must be a text`},
		"a text for NFS":            {policy("conditions: {nfs: s1}\n  action: {type: skip}"), `volumePolicies[0].conditions.nfs: Invalid type: must be an object`},
		"unknown field of NFS":      {policy("conditions: {nfs: {host: s1}}\n  action: {type: skip}"), `volumePolicies[0].conditions.nfs.host: Unknown field: supported fields: server, path`},
		"a list for a path":         {policy("conditions: {nfs: {path: [a]}}\n  action: {type: skip}"), `volumePolicies[0].conditions.nfs.path: Invalid type: must be a text`},
		"unknown field of CSI":      {policy("conditions: {csi: {name: d}}\n  action: {type: skip}"), `volumePolicies[0].conditions.csi.name: Unknown field: supported fields: driver, volumeAttributes`},
		"a list of attributes":      {policy("conditions: {csi: {driver: d, volumeAttributes: [a]}}\n  action: {type: skip}"), `volumePolicies[0].conditions.csi.volumeAttributes: Invalid type: must be an object`},
		"a text for types":          {policy("conditions: {volumeTypes: nfs}\n  action: {type: skip}"), `volumePolicies[0].conditions.volumeTypes: Invalid type: must be a list`},
		"a list of labels":          {policy("conditions: {pvcLabels: [a]}\n  action: {type: skip}"), `volumePolicies[0].conditions.pvcLabels: Invalid type: must be an object`},
		"an object for a label":     {policy("conditions: {pvcLabels: {a: {b: c}}}\n  action: {type: skip}"), `volumePolicies[0].conditions.pvcLabels.a: Invalid type: must be a text`},
		"a text for phases":         {policy("conditions: {pvcPhase: Lost}\n  action: {type: skip}"), `volumePolicies[0].conditions.pvcPhase: Invalid type: must be a list`},
		"a list for capacity":       {policy("conditions: {capacity: [1Gi]}\n  action: {type: skip}"), `volumePolicies[0].conditions.capacity: Invalid type: must be a text`},
		"unknown field of actions":  {policy("conditions: {}\n  action: {type: skip, volume: a}"), `volumePolicies[0].action.volume: Unknown field: supported fields: type, parameters`},
		"a text for parameters":     {policy("conditions: {}\n  action: {type: custom, parameters: a}"), `volumePolicies[0].action.parameters: Invalid type: must be an object`},
		"a text for an action":      {policy("conditions: {}\n  action: skip"), `volumePolicies[0].action: Invalid type: must be an object`},
		"unknown action":            {policy("conditions: {}\n  action: {type: delete}"), `volumePolicies[0].action.type: Unsupported value: "delete"`},
		"no action":                 {policy("conditions: {}"), `volumePolicies[0].action.type: Unsupported value: ""`},
		"capacity without comma":    {policy("conditions: {capacity: 10Gi}\n  action: {type: skip}"), `volumePolicies[0].conditions.capacity: Invalid value: "10Gi"`},
		"capacity with two commas":  {policy("conditions: {capacity: '1Gi,2Gi,3Gi'}\n  action: {type: skip}"), `volumePolicies[0].conditions.capacity: Invalid value: "1Gi,2Gi,3Gi"`},
		"capacity that is none":     {policy("conditions: {capacity: 'a,b'}\n  action: {type: skip}"), `volumePolicies[0].conditions.capacity: Invalid value: "a,b"`},
		"capacity upside down":      {policy("conditions: {capacity: '2Gi,1Gi'}\n  action: {type: skip}"), `volumePolicies[0].conditions.capacity: Invalid value: "2Gi,1Gi": must not have a lower`},
		"attributes of no driver":   {policy("conditions: {csi: {volumeAttributes: {a: b}}}\n  action: {type: skip}"), `volumePolicies[0].conditions.csi.driver: Required value`},
		"an object that is itself":  {policy("&a {<<: *a}"), `volumePolicies[0]: Invalid value: must not merge objects`},
		"another field of filters":  {map[string]string{"p": "version: v1\nincludeExcludePolicy: {includedResources: [a]}"}, `includeExcludePolicy.includedResources: Unknown field: `},
		"aliases of aliases":        {map[string]string{"p": bomb()}, "data[p]: Too long: must have at most"},
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

// bomb is a short document that stands for a very long one.
func bomb() string {
	classes := "[" + strings.Repeat("x,", 10_000) + "x]"
	policy := "&p {conditions: {storageClass: " + classes + "}, action: {type: skip}}"
	return "version: v1\nvolumePolicies: [" + policy + strings.Repeat(", *p", 10_000) + "]"
}

func TestParseTakesWhatVeleroTakes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	p, problems := Parse(map[string]string{"p": `
# scalars are texts as they are written, null is nothing, anchors and merges work
version: v1
volumePolicies:
- conditions: &small
    capacity: 0,1Gi
    pvcLabels: {backup: true, version: 1.10, on: no}
    storageClass: [1]
    nfs:
    csi: null
  action: &skip {type: skip, parameters: {deep: [{a: 1}]}}
- conditions:
    <<: *small
    capacity: 2Gi,
  action: *skip
- conditions:
  action: {<<: [*skip], type: snapshot}
- action: {type: fs-backup}
includeExcludePolicy:
---
a: second document
`})

	g.Expect(problems).To(BeEmpty())
	g.Expect(p.IncludeExclude).To(BeNil())
	g.Expect(p.VolumePolicies).To(HaveLen(4))
	small := Conditions{
		Capacity: "0,1Gi", StorageClass: []string{"1"}, PVCLabels: map[string]string{"backup": "true", "version": "1.10", "on": "no"},
	}
	g.Expect(p.VolumePolicies[0].Conditions).To(Equal(small))
	small.Capacity = "2Gi,"
	g.Expect(p.VolumePolicies[1].Conditions).To(Equal(small))
	g.Expect(p.VolumePolicies[1].Action.Parameters).To(HaveKey("deep"))
	g.Expect(p.VolumePolicies[2].Action.Type).To(Equal(ActionSnapshot))
	g.Expect(p.VolumePolicies[3].Conditions).To(Equal(Conditions{}))
	g.Expect(p.Warnings()).To(BeEmpty())
}

func TestParseFindsAllProblems(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	_, problems := Parse(map[string]string{"p": "version: v1\nvolumePolicies:\n- condition: {}\n  action: skip\n- conditions: {nfs: {a: b}}\n  action: {type: skip}\n"})

	g.Expect(problems).To(ConsistOf(
		HavePrefix("volumePolicies[0].condition: Unknown field"), HavePrefix("volumePolicies[0].action: Invalid type"),
		HavePrefix("volumePolicies[1].conditions.nfs.a: Unknown field"),
	))
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	p, problems := Parse(map[string]string{"p": "version: v1\nvolumePolicies:\n- conditions: {volumeTypes: [nfs, emptydir], pvcPhase: [Gone], storageClass: ['']}\n" +
		"  action: {type: skip}"})

	g.Expect(problems).To(BeEmpty())
	g.Expect(p.Warnings()).To(HaveExactElements(
		HavePrefix(`volumePolicies[0].conditions.volumeTypes[1]: Unsupported value: "emptydir": matches no volume`),
		HavePrefix(`volumePolicies[0].conditions.pvcPhase[0]: Unsupported value: "Gone"`),
		HavePrefix(`volumePolicies[0].conditions.storageClass: Unsupported value: ""`),
	))
	var none *Policies
	g.Expect(none.Warnings()).To(BeEmpty())
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
	emptyDir := OfPodVolume(corev1.Volume{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}, nil)
	inline := OfPodVolume(corev1.Volume{Name: "keys", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "vault"}}}, nil)
	ephemeral := OfPodVolume(corev1.Volume{Name: "work", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}, &nfs)
	missing := OfPodVolume(corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "x"},
	}}, nil)

	tests := map[string]struct {
		conditions Conditions
		want       []string
	}{
		"none":                          {Conditions{}, []string{"csi", "nfs", "unbound", "emptyDir", "inline", "ephemeral", "missing"}},
		"capacity in a range":           {Conditions{Capacity: "10Gi,20Gi"}, []string{"csi"}},
		"capacity from":                 {Conditions{Capacity: "100Gi,"}, []string{"nfs", "ephemeral"}},
		"capacity from, with a zero":    {Conditions{Capacity: "100Gi,0"}, []string{"nfs", "ephemeral"}},
		"capacity up to":                {Conditions{Capacity: ",10Gi"}, []string{"unbound", "emptyDir", "inline", "missing"}},
		"capacity that nothing has":     {Conditions{Capacity: "2Ti,3Ti"}, nil},
		"capacity without bounds":       {Conditions{Capacity: ","}, []string{"csi", "nfs", "unbound", "emptyDir", "inline", "ephemeral", "missing"}},
		"storage class":                 {Conditions{StorageClass: []string{"gp2", "x"}}, []string{"csi"}},
		"another storage class":         {Conditions{StorageClass: []string{"gp3"}}, nil},
		"no storage class never fits":   {Conditions{StorageClass: []string{""}}, nil},
		"any NFS":                       {Conditions{NFS: &NFS{}}, []string{"nfs", "ephemeral"}},
		"a server":                      {Conditions{NFS: &NFS{Server: "s1"}}, []string{"nfs", "ephemeral"}},
		"another server":                {Conditions{NFS: &NFS{Server: "s2"}}, nil},
		"a path":                        {Conditions{NFS: &NFS{Path: "/a"}}, []string{"nfs", "ephemeral"}},
		"another path":                  {Conditions{NFS: &NFS{Server: "s1", Path: "/b"}}, nil},
		"any CSI":                       {Conditions{CSI: &CSI{}}, []string{"csi", "inline"}},
		"a driver":                      {Conditions{CSI: &CSI{Driver: "vault"}}, []string{"inline"}},
		"attributes":                    {Conditions{CSI: &CSI{Driver: "ebs", VolumeAttributes: map[string]string{"fs": "ext4"}}}, []string{"csi"}},
		"other attributes":              {Conditions{CSI: &CSI{Driver: "ebs", VolumeAttributes: map[string]string{"fs": "xfs"}}}, nil},
		"attributes that are not there": {Conditions{CSI: &CSI{Driver: "vault", VolumeAttributes: map[string]string{"fs": "xfs"}}}, nil},
		"another driver":                {Conditions{CSI: &CSI{Driver: "efs"}}, nil},
		"types":                         {Conditions{VolumeTypes: []string{"emptyDir", "nfs"}}, []string{"emptyDir", "nfs", "ephemeral"}},
		"a generic ephemeral volume":    {Conditions{VolumeTypes: []string{"ephemeral"}}, []string{"ephemeral"}},
		"another type":                  {Conditions{VolumeTypes: []string{"hostPath", "persistentVolumeClaim"}}, nil},
		"labels":                        {Conditions{PVCLabels: map[string]string{"tier": "db"}}, []string{"csi", "nfs", "ephemeral"}},
		"labels with other values":      {Conditions{PVCLabels: map[string]string{"tier": "web"}}, nil},
		"labels that are not there":     {Conditions{PVCLabels: map[string]string{"tier": "db", "x": "y"}}, nil},
		"phase":                         {Conditions{PVCPhase: []string{"Pending", "Lost"}}, []string{"unbound"}},
		"another phase":                 {Conditions{PVCPhase: []string{"Lost"}}, nil},
		"all conditions must be met":    {Conditions{StorageClass: []string{"gp2"}, Capacity: "100Gi,"}, nil},
		"all conditions are met": {Conditions{
			StorageClass: []string{"gp2"}, Capacity: "20Gi,", CSI: &CSI{Driver: "ebs"}, VolumeTypes: []string{"csi"},
			PVCLabels: map[string]string{"zone": "a"}, PVCPhase: []string{"Bound"},
		}, []string{"csi"}},
	}
	volumes := map[string]Volume{
		"csi": csi, "nfs": nfs, "unbound": unbound, "emptyDir": emptyDir, "inline": inline, "ephemeral": ephemeral, "missing": missing,
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			p := &Policies{VolumePolicies: []VolumePolicy{{Conditions: tc.conditions, Action: Action{Type: ActionSkip}}}}

			for kind, v := range volumes {
				_, ok := p.Match(v)
				g.Expect(ok).To(Equal(slices.Contains(tc.want, kind)), kind)
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
	for _, seed := range []string{
		everyField, "version: v1", "", "#", "{", "- a", "version: v1\nvolumePolicies: [&a {<<: *a}]", "a: &a [*a]", "? [a]\n: b", "<<: 1", "!!binary a: b",
		"version: v1\nvolumePolicies:\n- conditions: {capacity: '1Gi,'}\n  action: {type: skip, parameters: {a: !!timestamp x}}", "---\n---\n", "\x00", "version: !!null v1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, problems := Parse(map[string]string{"p": text})
		if (p == nil) == (len(problems) == 0) {
			t.Fatalf("either policies or problems: %v %q", p, problems)
		}
		for _, volume := range []Volume{{}, {Type: "nfs", NFS: &NFS{}}, {Type: "csi", CSI: &CSI{}, Ephemeral: true, ClaimLabels: map[string]string{"a": "b"}}} {
			if i, ok := p.Find(volume); ok && !slices.Contains(actionTypes, p.VolumePolicies[i].Action.Type) {
				t.Fatalf("a policy without a valid action matches: %+v", p.VolumePolicies[i])
			}
		}
		p.Warnings()
	})
}
