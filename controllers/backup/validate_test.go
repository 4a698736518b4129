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

	g.Expect(validate(b, nil)).To(BeEmpty())
}

func TestValidate(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		spec       string
		annotation string
		want       string // part of the only problem; "" means none
	}{
		"nothing is a backup of everything":    {spec: `{}`},
		"all resources are no filter":          {spec: `{"includedResources":["*"]}`},
		"an empty selector matches everything": {spec: `{"labelSelector":{}}`},
		"no snapshots are what we take":        {spec: `{"snapshotVolumes":false,"snapshotMoveData":false}`},
		"Velero's mover without snapshots":     {spec: `{"datamover":"velero"}`},
		"the usual group label":                {spec: `{"volumeGroupSnapshotLabelKey":"velero.io/volume-group"}`},
		"the old name of the default":          {spec: `{"defaultVolumesToRestic":true}`},
		"a hook without command":               {spec: `{"hooks":{"resources":[{"name":"freeze","pre":[{"exec":{}}]}]}}`, want: "spec.hooks.resources[0].pre[0].exec.command: "},
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
		"filters of the old style":             {spec: `{"includedResources":["pods"],"excludedResources":["deploy"],"includeClusterResources":false}`},
		"filters of the new style":             {spec: `{"includedClusterScopedResources":["*"],"excludedNamespaceScopedResources":["x"]}`},
		"filters of both styles":               {spec: `{"includedResources":["pods"],"includedClusterScopedResources":["*"]}`, want: "Forbidden"},
		"labels":                               {spec: `{"labelSelector":{"matchLabels":{"a":"b"}}}`},
		"labels of both kinds":                 {spec: `{"labelSelector":{},"orLabelSelectors":[{}]}`, want: "spec.orLabelSelectors: Forbidden"},
		"an order":                             {spec: `{"orderedResources":{"pods":"a/b"}}`},
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

			got := validate(b, nil)

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

			got := append(validateLocation("minio", tc.location), validateAvailable(tc.location)...)

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
