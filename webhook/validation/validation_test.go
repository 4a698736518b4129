package validation

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/configmaps"
	"github.com/podkeep/podkeep/internal/selection"
	"github.com/podkeep/podkeep/internal/workloads"
)

// object is the JSON of an object named x.
func object(spec, status string) []byte {
	return fmt.Appendf(nil, `{"metadata":{"namespace":"velero","name":"x"},"spec":%s,"status":%s}`, spec, status)
}

// acceptedByVelero are specs that real Velero takes: those that its CLI sends with all
// flags, and values that its controllers know (velero-facts §2, §8.7 to §8.9). What
// podkeep cannot do of it is warned of.
var acceptedByVelero = map[string]struct {
	kind, spec string
	warned     []string // parts
}{
	"backup create":                     {"Backup", `{"metadata":{},"includedNamespaces":["*"],"snapshotVolumes":null,"ttl":"0s","includeClusterResources":null,"hooks":{},"labelSelector":null,"orLabelSelectors":null,"orderedResources":null,"csiSnapshotTimeout":"10m0s","itemOperationTimeout":"4h0m0s","uploaderConfig":{"parallelFilesUpload":4}}`, nil},
	"backup create, filters":            {"Backup", `{"includedNamespaces":["a","team-*"],"excludedNamespaces":["b"],"includedResources":["pods","deployments.apps"],"excludedResources":["secrets"],"includeClusterResources":true,"labelSelector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"In","values":["d"]}]}}`, nil},
	"backup create, scoped filters":     {"Backup", `{"includedClusterScopedResources":["*"],"excludedNamespaceScopedResources":["secrets"],"orLabelSelectors":[{"matchLabels":{"a":"b"}},{"matchLabels":{"c":"d"}}]}`, nil},
	"backup create, everything else":    {"Backup", `{"ttl":"72h0m0s","storageLocation":"default","defaultVolumesToFsBackup":true,"orderedResources":{"pods":"ns/a,ns/b"},"resourcePolicy":{"apiGroup":null,"kind":"configmap","name":"p"},"datamover":"velero","snapshotVolumes":false,"snapshotMoveData":false}`, nil},
	"backup create --snapshot-volumes":  {"Backup", `{"snapshotVolumes":true,"snapshotMoveData":true,"volumeSnapshotLocations":["aws"]}`, []string{"spec.snapshotVolumes: Unsupported value", "spec.volumeSnapshotLocations", "spec.snapshotMoveData"}},
	"hooks":                             {"Backup", `{"hooks":{"resources":[{"name":"h","includedNamespaces":["*"],"pre":[{"exec":{"container":"c","command":["/bin/true"],"onError":"Fail","timeout":"30s"}}],"post":[{"exec":{"command":["a"]}}]}]}}`, nil},
	"the old name":                      {"Backup", `{"defaultVolumesToRestic":true}`, nil},
	"an empty backup":                   {"Backup", `{}`, nil},
	"restore create":                    {"Restore", `{"backupName":"b","includedNamespaces":["*"],"hooks":{},"uploaderConfig":{},"itemOperationTimeout":"4h0m0s","excludedResources":["nodes","events","backups.velero.io"]}`, nil},
	"restore create --from-schedule":    {"Restore", `{"scheduleName":"daily","restorePVs":true,"preserveNodePorts":true,"existingResourcePolicy":"update","restoreStatus":{"includedResources":["pods"]}}`, nil},
	"restore create, everything else":   {"Restore", `{"backupName":"b","namespaceMapping":{"a":"b","c":"d"},"resourceModifier":{"apiGroup":"","kind":"configmap","name":"m"},"uploaderConfig":{"writeSparseFiles":true,"parallelFilesDownload":8},"existingResourcePolicy":"none","includeClusterResources":false}`, nil},
	"restore hooks":                     {"Restore", `{"backupName":"b","hooks":{"resources":[{"name":"h","postHooks":[{"init":{"timeout":"2m","initContainers":[{"name":"i","image":"busybox","command":["/bin/true"],"unknown":1}]}},{"exec":{"command":["a"],"waitTimeout":"1m","execTimeout":"1m","onError":"Continue","waitForReady":true}}]}]}}`, nil},
	"schedule create":                   {"Schedule", `{"schedule":"0 3 * * *","useOwnerReferencesInBackup":false,"paused":false,"template":{"ttl":"0s","includedNamespaces":["*"],"hooks":{},"csiSnapshotTimeout":"0s","itemOperationTimeout":"0s"}}`, nil},
	"schedule create, a time zone":      {"Schedule", `{"schedule":"CRON_TZ=Europe/Berlin @daily","skipImmediately":true,"paused":true,"template":{"metadata":{"labels":{"a":"b"}}}}`, nil},
	"schedule create @every":            {"Schedule", `{"schedule":"@every 6h","template":{"snapshotVolumes":true}}`, []string{"spec.template.snapshotVolumes: Unsupported value"}},
	"location create aws":               {"BackupStorageLocation", `{"provider":"aws","default":true,"objectStorage":{"bucket":"b","prefix":"p/q"},"config":{"region":"eu-west-1","s3Url":"https://minio:9000","s3ForcePathStyle":"true","profile":"x","kmsKeyId":"k"},"credential":{"name":"c","key":"cloud"},"accessMode":"ReadOnly","backupSyncPeriod":"2m0s","validationFrequency":"1m0s"}`, nil},
	"location create azure":             {"BackupStorageLocation", `{"provider":"azure","objectStorage":{"bucket":"b"},"config":{"resourceGroup":"g","storageAccount":"a"}}`, []string{"spec.provider: Unsupported value"}},
	"location create of another plugin": {"BackupStorageLocation", `{"provider":"community.openstack.org/openstack","objectStorage":{"bucket":"b"}}`, []string{"spec.provider: Unsupported value"}},
	"location with keys of its own":     {"BackupStorageLocation", `{"provider":"velero.io/aws","objectStorage":{"bucket":"b"},"config":{"region":"r","customerKeyEncryptionFile":"/k"}}`, []string{"spec.config[customerKeyEncryptionFile]: Forbidden"}},
}

func TestWhatVeleroAcceptsIsAccepted(t *testing.T) {
	t.Parallel()
	for name, tc := range acceptedByVelero {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got, err := Resource(ResourceFacts{Kind: tc.kind, New: object(tc.spec, "{}")})

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Problems).To(BeEmpty())
			g.Expect(got.Warnings).To(HaveLen(len(tc.warned)), "%q", got.Warnings)
			for i := range tc.warned {
				g.Expect(got.Warnings[i]).To(HavePrefix("podkeep: " + tc.warned[i]))
			}
		})
	}
}

func TestBrokenResourcesAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind, spec string
		want       []string // beginnings of the problems
	}{
		"both styles of filters":  {"Backup", `{"includedResources":["pods"],"includedClusterScopedResources":["*"]}`, []string{"spec.includedResources, excludedResources and includeClusterResources: Forbidden"}},
		"a negative ttl":          {"Backup", `{"ttl":"-1h"}`, []string{`spec.ttl: Invalid value: "-1h0m0s": must not be negative`}},
		"a ttl that is none":      {"Backup", `{"ttl":"30d","storageLocation":"x"}`, []string{`spec.ttl: Invalid value: "30d": time: unknown unit`}},
		"a hook's timeout":        {"Backup", `{"hooks":{"resources":[{"name":"a","pre":[{"exec":{"command":["x"],"timeout":"soon"}}]}]}}`, []string{`spec.hooks.resources[0].pre[0].exec.timeout: Invalid value: "soon": `}},
		"a hook without command":  {"Backup", `{"hooks":{"resources":[{"name":"a","pre":[{"exec":{}}]}]}}`, []string{"spec.hooks.resources[0].pre[0].exec.command: "}},
		"a wrong type":            {"Backup", `{"includedNamespaces":"shop"}`, []string{"spec.includedNamespaces: Invalid value: string: must be of type"}},
		"no backup":               {"Restore", `{}`, []string{"spec.backupName: Required value"}},
		"a backup and a schedule": {"Restore", `{"backupName":"a","scheduleName":"b"}`, []string{"spec.scheduleName: Forbidden"}},
		"two things at once":      {"Restore", `{"backupName":"a","existingResourcePolicy":"replace","namespaceMapping":{"a":"A"}}`, []string{`spec.namespaceMapping[a]: Invalid value: "A"`, `spec.existingResourcePolicy: Unsupported value: "replace": supported values: "none", "update"`}},
		"no expression":           {"Schedule", `{"schedule":"at noon","template":{}}`, []string{`spec.schedule: Invalid value: "at noon": `}},
		"a broken template":       {"Schedule", `{"schedule":"@daily","template":{"ttl":"-1s","excludedNamespaces":["*"]}}`, []string{`spec.template.ttl: Invalid value`, `spec.template.excludedNamespaces: Invalid value: "*": must not exclude everything`}},
		"a provider that is none": {"BackupStorageLocation", `{"provider":"asw","objectStorage":{"bucket":"b"}}`, []string{`spec.provider: Unsupported value: "velero.io/asw": supported values: "aws" (any S3), "filesystem"`}},
		"a key that is none":      {"BackupStorageLocation", `{"provider":"aws","objectStorage":{"bucket":"b"},"config":{"s3URL":"http://x"}}`, []string{"spec.config[s3URL]: Unsupported value: no such key; supported keys: "}},
		"a URL with a path":       {"BackupStorageLocation", `{"provider":"aws","objectStorage":{"bucket":"b"},"config":{"s3Url":"http://x/y"}}`, []string{`spec.config[s3Url]: Invalid value: "http://x/y": must be http(s)://host[:port]`}},
		"a folder without path":   {"BackupStorageLocation", `{"provider":"filesystem","objectStorage":{"bucket":"b"}}`, []string{`spec.config[fspath]: Invalid value: "": must be an absolute path`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got, err := Resource(ResourceFacts{Kind: tc.kind, New: object(tc.spec, "{}")})

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Reason).To(Equal(ReasonInvalid))
			g.Expect(got.Problems).To(HaveLen(len(tc.want)), "%q", got.Problems)
			for i := range tc.want {
				g.Expect(got.Problems[i]).To(HavePrefix(tc.want[i]))
			}
			g.Expect(got.Message()).To(HavePrefix("podkeep: " + tc.want[0]))
		})
	}
}

func TestWhatIsNotLookedAt(t *testing.T) {
	t.Parallel()
	const bad = `{"ttl":"-1h","schedule":"never"}`
	for name, tc := range map[string]struct {
		facts ResourceFacts
		want  Reason
	}{
		"a status that is written":                  {ResourceFacts{"Backup", object(bad, `{"phase":"New"}`), object(bad, "{}")}, ReasonUnchanged},
		"a schedule whose status is written":        {ResourceFacts{"Schedule", object(bad, `{"phase":"FailedValidation"}`), object(bad, "{}")}, ReasonUnchanged},
		"a backup that comes from a bucket":         {ResourceFacts{"Backup", object(bad, `{"phase":"Completed"}`), nil}, ReasonBegun},
		"a backup that a controller starts":         {ResourceFacts{"Backup", object(bad, `{"phase":"InProgress"}`), object("{}", "{}")}, ReasonBegun},
		"a backup that a controller refuses":        {ResourceFacts{"Backup", object(bad, `{"phase":"FailedValidation"}`), object("{}", "{}")}, ReasonBegun},
		"a finished restore that somebody edits":    {ResourceFacts{"Restore", object(bad, `{"phase":"Completed"}`), object("{}", `{"phase":"Completed"}`)}, ReasonBegun},
		"a backup that waits in the queue":          {ResourceFacts{"Backup", object(bad, `{"phase":"Queued"}`), object("{}", `{"phase":"New"}`)}, ReasonBegun},
		"a kind that nobody checks":                 {ResourceFacts{"DownloadRequest", object(bad, `{}`), nil}, ReasonNotOurs},
		"a new backup that its author corrects":     {ResourceFacts{"Backup", object("{}", `{"phase":"New"}`), object(bad, `{"phase":"New"}`)}, ReasonValid},
		"a new backup that its author breaks":       {ResourceFacts{"Backup", object(bad, `{"phase":"New"}`), object("{}", `{"phase":"New"}`)}, ReasonInvalid},
		"a schedule that its author breaks":         {ResourceFacts{"Schedule", object(bad, `{"phase":"Enabled"}`), object(`{"schedule":"@daily"}`, `{"phase":"Enabled"}`)}, ReasonInvalid},
		"a change beside what was broken before":    {ResourceFacts{"Schedule", object(`{"schedule":"never","paused":true}`, `{}`), object(`{"schedule":"never"}`, `{}`)}, ReasonWarned},
		"another error instead of the one before":   {ResourceFacts{"Schedule", object(`{"schedule":"never ever"}`, `{}`), object(`{"schedule":"never"}`, `{}`)}, ReasonInvalid},
		"a location that loses its default":         {ResourceFacts{"BackupStorageLocation", object(`{"provider":"asw"}`, `{}`), object(`{"provider":"asw","default":true}`, `{}`)}, ReasonWarned},
		"an object without spec":                    {ResourceFacts{"Restore", []byte(`{"status":{"phase":"New"}}`), []byte(`{}`)}, ReasonUnchanged},
		"an object that decoded never and still is": {ResourceFacts{"Backup", object(`{"ttl":"x","storageLocation":"b"}`, `{}`), object(`{"ttl":"x"}`, `{}`)}, ReasonWarned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got, err := Resource(tc.facts)

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Reason).To(Equal(tc.want), "%+v", got)
			g.Expect(got.Denied()).To(Equal(tc.want == ReasonInvalid))
		})
	}
	_, err := Resource(ResourceFacts{Kind: "Backup", New: []byte(`[`)})
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("decoding the object")))
}

func configMap(mods ...func(*corev1.ConfigMap)) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{}
	cm.Namespace, cm.Name = "velero", "x"
	for _, m := range mods {
		m(cm)
	}
	return cm
}

func data(text string) func(*corev1.ConfigMap) {
	return func(cm *corev1.ConfigMap) { cm.Data = map[string]string{"x": text} }
}

func is(role string) func(*corev1.ConfigMap) {
	return func(cm *corev1.ConfigMap) { cm.Labels = map[string]string{velerov1.ConfigLabel: role} }
}

func gate(cm *corev1.ConfigMap) {
	cm.Labels = map[string]string{velerov1.PluginConfigLabel: "", velerov1.PodVolumeRestoreLabel: velerov1.RestoreItemActionKind}
	cm.Data = map[string]string{}
}

func TestConfigMap(t *testing.T) {
	t.Parallel()
	nodeAgent := configmaps.Names{NodeAgent: "x"}
	const broken, other, good = `{"podResources":{"cpuLimit":"a"}}`, `{"podResources":{"cpuLimit":"b"}}`, `{}`
	for name, tc := range map[string]struct {
		facts ConfigMapFacts
		want  Reason
	}{
		"one of somebody else":                {ConfigMapFacts{New: configMap(data(broken))}, ReasonNotOurs},
		"a broken one by its name":            {ConfigMapFacts{New: configMap(data(broken)), Names: nodeAgent}, ReasonInvalid},
		"a broken one by its label":           {ConfigMapFacts{New: configMap(data(broken), is("node-agent"))}, ReasonInvalid},
		"a good one":                          {ConfigMapFacts{New: configMap(data(good)), Names: nodeAgent}, ReasonValid},
		"one with a key that nobody knows":    {ConfigMapFacts{New: configMap(data(`{"a":1}`)), Names: nodeAgent}, ReasonWarned},
		"one that gets an annotation":         {ConfigMapFacts{New: configMap(data(broken)), Old: configMap(data(broken)), Names: nodeAgent}, ReasonUnchanged},
		"one that breaks":                     {ConfigMapFacts{New: configMap(data(broken)), Old: configMap(data(good)), Names: nodeAgent}, ReasonInvalid},
		"one that breaks in another way":      {ConfigMapFacts{New: configMap(data(broken)), Old: configMap(data(other)), Names: nodeAgent}, ReasonInvalid},
		"a broken one that becomes podkeep's": {ConfigMapFacts{New: configMap(data(broken), is("node-agent")), Old: configMap(data(broken))}, ReasonInvalid},
		"a second one of the gate":            {ConfigMapFacts{New: configMap(gate), Others: []string{"y"}}, ReasonWarned},
		"the only one of the gate":            {ConfigMapFacts{New: configMap(gate)}, ReasonValid},
		"one that must not be checked":        {ConfigMapFacts{New: configMap(data("volumePolicies:\n- {"), is("none"))}, ReasonValid},
		"a broken policy without a label":     {ConfigMapFacts{New: configMap(data("volumePolicies:\n- {"))}, ReasonInvalid},
		"a label with another value":          {ConfigMapFacts{New: configMap(data(broken), is("agent"))}, ReasonWarned},
		"a policy beside another broken one":  {ConfigMapFacts{New: configMap(data("version: v1\nvolumePolicies: []")), Old: configMap(data("volumePolicies: []"))}, ReasonValid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ConfigMap(tc.facts)
			NewWithT(t).Expect(got.Reason).To(Equal(tc.want), "%+v", got)
		})
	}
}

func TestAuthor(t *testing.T) {
	t.Parallel()
	template := func() workloads.Template {
		pod := &corev1.Pod{}
		pod.Annotations = map[string]string{velerov1.VolumesToBackupAnnotation: "data,dta"}
		pod.Spec.Containers = []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "data"}}}}
		pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-web-0"},
		}}}
		return workloads.Template{Pod: pod, Claims: map[string]selection.ClaimFacts{"data-web-0": {Wish: velerov1.ClaimExclude}}}
	}
	judgeAuthor := func(t workloads.Template, claims map[string]selection.ClaimFacts) Verdict {
		if claims == nil {
			claims = map[string]selection.ClaimFacts{}
		}
		return Author(t, selection.Input{Pod: t.Pod, Claims: claims})
	}
	t.Run("claims that the workload will make count", func(t *testing.T) {
		t.Parallel()
		got := judgeAuthor(template(), nil)
		NewWithT(t).Expect(got).To(Equal(Verdict{Reason: ReasonWarned, Warnings: []string{
			"podkeep: the pod has no volumes named dta; correct its annotations backup.velero.io/backup-volumes and backup.velero.io/backup-volumes-excludes",
			"podkeep: the pod lists volume data in backup.velero.io/backup-volumes, and its claim data-web-0 is annotated podkeep.io/fs-backup=exclude, which wins; remove one of them",
		}}))
	})
	t.Run("claims that exist say more", func(t *testing.T) {
		t.Parallel()
		got := judgeAuthor(template(), map[string]selection.ClaimFacts{"data-web-0": {}})
		NewWithT(t).Expect(got.Warnings).To(HaveLen(1))
	})
	t.Run("what a controller makes is left alone", func(t *testing.T) {
		t.Parallel()
		managed := template()
		managed.Managed = true
		NewWithT(t).Expect(judgeAuthor(managed, nil)).To(Equal(Verdict{Reason: ReasonNotOurs}))
	})
	t.Run("mirror pods are left alone", func(t *testing.T) {
		t.Parallel()
		mirror := template()
		mirror.Pod.Annotations[corev1.MirrorPodAnnotationKey] = "x"
		NewWithT(t).Expect(judgeAuthor(mirror, nil)).To(Equal(Verdict{Reason: ReasonNotOurs}))
	})
}

func TestWarningsFitTheHeader(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(Warnings([]string{"a\nb\x00\xff", "same", "same"})).To(Equal([]string{"podkeep: a b ?", "podkeep: same"}))

	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprint(i, strings.Repeat("ä", 1000)))
	}
	got := Warnings(many)

	for _, w := range got[:len(got)-1] {
		g.Expect([]rune(w)).To(HaveLen(256))
	}
	g.Expect(got[len(got)-1]).To(Equal("podkeep: and 89 more"))
}

func TestARefusalIsBounded(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	v := Verdict{Problems: []string{strings.Repeat("ü", 5000)}}

	g.Expect(len(v.Message())).To(BeNumerically("<=", maxMessageBytes))
	g.Expect(json.Valid([]byte(`"` + v.Message() + `"`))).To(BeTrue())
}
