package backup

import (
	"encoding/json"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// veleroCLISpec is what "velero backup create x --parallel-files-upload 4" sends.
const veleroCLISpec = `{
	"metadata": {}, "includedNamespaces": ["*"], "snapshotVolumes": null, "ttl": "0s", "includeClusterResources": null, "hooks": {},
	"labelSelector": null, "orLabelSelectors": null, "orderedResources": null, "csiSnapshotTimeout": "10m0s",
	"itemOperationTimeout": "4h0m0s", "uploaderConfig": {"parallelFilesUpload": 4}
}`

func TestValidateAcceptsWhatTheVeleroCLISends(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	b := newBackup()
	g.Expect(json.Unmarshal([]byte(veleroCLISpec), &b.Spec)).To(Succeed())

	g.Expect(validate(b)).To(BeEmpty())
}

func TestValidate(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		spec       string
		annotation string
		want       string // part of the only problem; "" means none
	}{
		"nothing is a backup of everything":    {spec: `{}`},
		"all resources are no filter":          {spec: `{"includedResources":["*"],"includedNamespaceScopedResources":["*"]}`},
		"an empty selector matches everything": {spec: `{"labelSelector":{}}`},
		"no snapshots are what we take":        {spec: `{"snapshotVolumes":false,"snapshotMoveData":false}`},
		"Velero's mover without snapshots":     {spec: `{"datamover":"velero"}`},
		"the usual group label":                {spec: `{"volumeGroupSnapshotLabelKey":"velero.io/volume-group"}`},
		"the old name of the default":          {spec: `{"defaultVolumesToRestic":true}`},
		"includedResources":                    {spec: `{"includedResources":["pods"]}`, want: "spec.includedResources: Unsupported value"},
		"excludedResources":                    {spec: `{"excludedResources":["pods"]}`, want: "spec.excludedResources: Unsupported value"},
		"includedClusterScopedResources":       {spec: `{"includedClusterScopedResources":["*"]}`, want: "spec.includedClusterScopedResources: "},
		"excludedClusterScopedResources":       {spec: `{"excludedClusterScopedResources":["x"]}`, want: "spec.excludedClusterScopedResources: "},
		"includedNamespaceScopedResources":     {spec: `{"includedNamespaceScopedResources":["x"]}`, want: "spec.includedNamespaceScopedResources: "},
		"excludedNamespaceScopedResources":     {spec: `{"excludedNamespaceScopedResources":["x"]}`, want: "spec.excludedNamespaceScopedResources: "},
		"includeClusterResources":              {spec: `{"includeClusterResources":false}`, want: "spec.includeClusterResources: "},
		"labelSelector":                        {spec: `{"labelSelector":{"matchLabels":{"a":"b"}}}`, want: "spec.labelSelector: "},
		"orLabelSelectors":                     {spec: `{"orLabelSelectors":[{"matchLabels":{"a":"b"}}]}`, want: "spec.orLabelSelectors: "},
		"a hook without command":               {spec: `{"hooks":{"resources":[{"name":"freeze","pre":[{"exec":{}}]}]}}`, want: "spec.hooks.resources[0].pre[0].exec.command: "},
		"orderedResources":                     {spec: `{"orderedResources":{"pods":"a/b"}}`, want: "spec.orderedResources: "},
		"resourcePolicy":                       {spec: `{"resourcePolicy":{"kind":"configmap","name":"p"}}`, want: "spec.resourcePolicy: "},
		"snapshotVolumes":                      {spec: `{"snapshotVolumes":true}`, want: "spec.snapshotVolumes: "},
		"volumeSnapshotLocations":              {spec: `{"volumeSnapshotLocations":["a"]}`, want: "spec.volumeSnapshotLocations: "},
		"snapshotMoveData":                     {spec: `{"snapshotMoveData":true}`, want: "spec.snapshotMoveData: "},
		"datamover":                            {spec: `{"datamover":"mine"}`, want: "spec.datamover: "},
		"volumeGroupSnapshotLabelKey":          {spec: `{"volumeGroupSnapshotLabelKey":"mine"}`, want: "spec.volumeGroupSnapshotLabelKey: "},
		"a negative ttl":                       {spec: `{"ttl":"-1h"}`, want: `spec.ttl: Invalid value: "-1h0m0s"`},
		"a negative number of files":           {spec: `{"uploaderConfig":{"parallelFilesUpload":-1}}`, want: "spec.uploaderConfig.parallelFilesUpload: Invalid value: -1"},
		"a timeout that is no duration":        {spec: `{}`, annotation: "soon", want: `metadata.annotations[velero.io/pod-volume-timeout]: Invalid value: "soon"`},
		"a timeout":                            {spec: `{}`, annotation: "90m"},
		"a name beside *":                      {spec: `{"includedNamespaces":["*","a"]}`, want: `spec.includedNamespaces: Invalid value: "*": must be the only entry`},
		"everything excluded":                  {spec: `{"excludedNamespaces":["*"]}`, want: `spec.excludedNamespaces: Invalid value: "*"`},
		"included and excluded":                {spec: `{"includedNamespaces":["a"],"excludedNamespaces":["a"]}`, want: "must not be in includedNamespaces too"},
		"a pattern":                            {spec: `{"includedNamespaces":["team-[ab]-*"]}`},
		"a pattern with an open bracket":       {spec: `{"includedNamespaces":["team-[ab"]}`, want: "complete brackets"},
		"a pattern with two stars":             {spec: `{"includedNamespaces":["team-**"]}`, want: "must be a pattern of"},
		"a name that is none":                  {spec: `{"excludedNamespaces":["Team"]}`, want: "must be the name of a namespace"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			b := newBackup()
			g.Expect(json.Unmarshal([]byte(tc.spec), &b.Spec)).To(Succeed())
			if tc.annotation != "" {
				b.Annotations = map[string]string{velerov1.PodVolumeTimeoutAnnotation: tc.annotation}
			}

			got := validate(b)

			if tc.want == "" {
				g.Expect(got).To(BeEmpty())
				return
			}
			g.Expect(got).To(ConsistOf(ContainSubstring(tc.want)))
		})
	}
}

func TestValidateLocation(t *testing.T) {
	t.Parallel()

	location := func(mod func(*velerov1.BackupStorageLocation)) *velerov1.BackupStorageLocation {
		l := &velerov1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Name: "minio"}}
		mod(l)
		return l
	}
	tests := map[string]struct {
		location *velerov1.BackupStorageLocation
		want     string
	}{
		"one that does not exist": {want: `spec.storageLocation: Not found: "minio"`},
		"one that is read-only": {
			location: location(func(l *velerov1.BackupStorageLocation) {
				l.Spec.AccessMode = velerov1.BackupStorageLocationAccessModeReadOnly
			}),
			want: "the location is read-only",
		},
		"one that is unavailable, with its message": {
			location: location(func(l *velerov1.BackupStorageLocation) {
				l.Status.Phase, l.Status.Message = velerov1.BackupStorageLocationPhaseUnavailable, "bucket gone"
			}),
			want: "the location is unavailable: bucket gone",
		},
		"one that nobody has checked yet": {location: location(func(*velerov1.BackupStorageLocation) {})},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := validateLocation("minio", tc.location)

			if tc.want == "" {
				g.Expect(got).To(BeEmpty())
				return
			}
			g.Expect(got).To(ConsistOf(ContainSubstring(tc.want)))
		})
	}
}

func TestChooseLocation(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	locations := []velerov1.BackupStorageLocation{
		{ObjectMeta: metav1.ObjectMeta{Name: "z"}, Spec: velerov1.BackupStorageLocationSpec{Default: true}},
		{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: velerov1.BackupStorageLocationSpec{Default: true}},
		{ObjectMeta: metav1.ObjectMeta{Name: "a"}},
	}
	named := newBackup(func(b *velerov1.Backup) { b.Spec.StorageLocation = "a" })

	g.Expect(chooseLocation(named, locations, "default")).To(Equal("a"), "the backup's own wins")
	g.Expect(chooseLocation(newBackup(), locations, "default")).To(Equal("b"), "the first that is marked")
	g.Expect(chooseLocation(newBackup(), locations[2:], "default")).To(Equal("default"), "the server's when none is marked")
}

func TestVolumeTimeout(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	b := newBackup()
	g.Expect(volumeTimeoutOf(b, time.Hour)).To(Equal(time.Hour))

	b.Annotations = map[string]string{velerov1.PodVolumeTimeoutAnnotation: "90s"}
	g.Expect(volumeTimeoutOf(b, time.Hour)).To(Equal(90 * time.Second))
}

func TestNamespaceFilter(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		filter namespaceFilter
		in     []string
		out    []string
	}{
		"nothing said is everything": {in: []string{"a", "kube-system"}},
		"excludes win":               {filter: namespaceFilter{includes: []string{"*"}, excludes: []string{"kube-*"}}, in: []string{"a"}, out: []string{"kube-system"}},
		"names":                      {filter: namespaceFilter{includes: []string{"a"}}, in: []string{"a"}, out: []string{"ab", "b"}},
		"patterns":                   {filter: namespaceFilter{includes: []string{"team-?"}, excludes: []string{"team-x"}}, in: []string{"team-a"}, out: []string{"team-x", "team-ab"}},
		"a set of letters":           {filter: namespaceFilter{includes: []string{"team-[ab]"}}, in: []string{"team-a"}, out: []string{"team-c"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			for _, n := range tc.in {
				g.Expect(tc.filter.matches(n)).To(BeTrue(), n)
			}
			for _, n := range tc.out {
				g.Expect(tc.filter.matches(n)).To(BeFalse(), n)
			}
		})
	}
	g := NewWithT(t)
	g.Expect(namespaceFilter{includes: []string{"a", "b", "c*"}}.missing([]string{"b"})).To(Equal([]string{"a"}))
}
