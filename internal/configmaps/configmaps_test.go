package configmaps

import (
	"maps"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

var names = Names{NodeAgent: "node-agent-config", Repository: "repos", MaintenanceJobs: "jobs"}

type mod func(*corev1.ConfigMap)

func configMap(name string, data map[string]string, mods ...mod) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{Data: data}
	cm.Name = name
	for _, m := range mods {
		m(cm)
	}
	return cm
}

func labelled(labels map[string]string) mod {
	return func(cm *corev1.ConfigMap) { cm.Labels = labels }
}

func is(role string) mod { return labelled(map[string]string{velerov1.ConfigLabel: role}) }

func ofGate(cm *corev1.ConfigMap) {
	cm.Labels = map[string]string{velerov1.PluginConfigLabel: "", velerov1.PodVolumeRestoreLabel: velerov1.RestoreItemActionKind}
}

const policy = "version: v1\nvolumePolicies:\n- conditions: {capacity: '0,1Gi'}\n  action: {type: skip}\n"

func TestRolesOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cm   *corev1.ConfigMap
		want []Role
	}{
		"one of somebody else":         {configMap("app", map[string]string{"a": "b"}), nil},
		"one without data":             {configMap("app", nil), nil},
		"the gate's labels":            {configMap("x", nil, ofGate), []Role{RoleGate}},
		"labels of another plugin":     {configMap("x", nil, labelled(map[string]string{velerov1.PluginConfigLabel: "", velerov1.ChangeStorageClassLabel: "RestoreItemAction"})), nil},
		"a label":                      {configMap("x", nil, is("resource-policy")), []Role{velerov1.ConfigResourcePolicy}},
		"a label that nobody knows":    {configMap("x", nil, is("repositories")), []Role{"repositories"}},
		"a label says more than names": {configMap("repos", nil, is("none")), []Role{velerov1.ConfigUnchecked}},
		"a name":                       {configMap("repos", nil), []Role{velerov1.ConfigBackupRepository}},
		"a policy by its content":      {configMap("x", map[string]string{"policies.yaml": policy}), []Role{velerov1.ConfigResourcePolicy}},
		"a filter by its content":      {configMap("x", map[string]string{"p": "version: v1\nincludeExcludePolicy :\n"}), []Role{velerov1.ConfigResourcePolicy}},
		"a broken policy":              {configMap("x", map[string]string{"p": "volumePolicies:\n - {"}), []Role{velerov1.ConfigResourcePolicy}},
		"a policy among other things":  {configMap("x", map[string]string{"p": policy, "q": ""}), nil},
		"a mention of policies":        {configMap("x", map[string]string{"p": "see volumePolicies: in the manual\n  volumePolicies: 1"}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(RolesOf(tc.cm, names)).To(Equal(tc.want))
		})
	}
}

func TestOneConfigMapMayHaveTwoRoles(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	both := Names{Repository: "repos", MaintenanceJobs: "repos"}

	g.Expect(RolesOf(configMap("repos", nil), both)).To(Equal([]Role{velerov1.ConfigBackupRepository, velerov1.ConfigMaintenanceJobs}))
	g.Expect(both.All()).To(Equal([]string{"repos"}))
	g.Expect(Names{}.All()).To(BeEmpty())
	g.Expect(RolesOf(configMap("", nil), Names{})).To(BeEmpty(), "no name is not the name of none")
}

// acceptedByVelero are ConfigMaps that real Velero follows (velero-facts §5.3, §7.2,
// §8.1 to §8.3), with what podkeep has to say of them.
var acceptedByVelero = map[string]struct {
	role    string
	data    map[string]string
	ignored []string // beginnings
}{
	"node agent: all keys": {velerov1.ConfigNodeAgent, map[string]string{"node-agent-config.json": `{
		"loadConcurrency":{"globalConfig":2,"perNodeConfig":[{"nodeSelector":{"matchLabels":{"a":"b"}},"number":3}],"prepareQueueLength":10},
		"podResources":{"cpuRequest":"1000m","cpuLimit":"2","memoryRequest":"512Mi","memoryLimit":"1Gi","ephemeralStorageRequest":"1Gi","ephemeralStorageLimit":"2Gi"},
		"priorityClassName":"high","privilegedFsBackup":true,"podAnnotations":{"a":"b"},"podLabels":{"c":"d"}}`}, nil},
	"node agent: what only data movers use": {velerov1.ConfigNodeAgent, map[string]string{"x": `{
		"loadAffinity":[{"nodeSelector":{"matchLabels":{"a":"b"}},"storageClass":"fast"}],"backupPVC":{"fast":{"storageClass":"slow","readOnly":true}},
		"restorePVC":{"ignoreDelayBinding":true},"cachePVC":{"storageClass":"fast","residentThresholdInMB":1}}`},
		[]string{"data[x]: backupPVC: not used", "data[x]: cachePVC: not used", "data[x]: loadAffinity: not used", "data[x]: restorePVC: not used"}},
	"node agent: numbers that mean the default": {velerov1.ConfigNodeAgent, map[string]string{"x": `{"loadConcurrency":{"globalConfig":0,
		"perNodeConfig":[{"nodeSelector":{},"number":0}]}}`}, []string{"data[x]: loadConcurrency.globalConfig: 0", "data[x]: loadConcurrency.perNodeConfig[0]: ignored"}},
	"node agent: an unknown key": {velerov1.ConfigNodeAgent, map[string]string{"x": `{"fastMode":true}`}, []string{"data[x]: fastMode: unknown key"}},
	"node agent: nothing":        {velerov1.ConfigNodeAgent, map[string]string{"x": `{}`}, nil},

	"repository: kopia":           {velerov1.ConfigBackupRepository, map[string]string{"kopia": `{"cacheLimitMB": 2048, "fullMaintenanceInterval": "fastGC"}`}, nil},
	"repository: other types":     {velerov1.ConfigBackupRepository, map[string]string{"restic": `{}`}, []string{"data[restic]: unknown key"}},
	"repository: an unknown key":  {velerov1.ConfigBackupRepository, map[string]string{"kopia": `{"hash":"BLAKE3"}`}, []string{"data[kopia]: hash: unknown key"}},
	"maintenance: global and own": {velerov1.ConfigMaintenanceJobs, map[string]string{"global": `{"podResources":{"cpuRequest":"100m"},"keepLatestMaintenanceJobs":1,"loadAffinity":[{"nodeSelector":{"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]}}],"priorityClassName":"low","podLabels":{"a":"b"}}`, "ns1-default-kopia": `{"podResources":{"cpuLimit":"1"}}`}, nil},
	"maintenance: keep none":      {velerov1.ConfigMaintenanceJobs, map[string]string{"global": `{"keepLatestMaintenanceJobs":0}`}, []string{"data[global]: keepLatestMaintenanceJobs"}},

	"policy: all conditions": {velerov1.ConfigResourcePolicy, map[string]string{"policies.yaml": `version: v1
volumePolicies:
- conditions: {capacity: "10Gi,100Gi", storageClass: [gp2], nfs: {}, csi: {driver: ebs.csi.aws.com, volumeAttributes: {a: b}}, volumeTypes: [emptyDir, csi], pvcLabels: {a: b}}
  action: {type: custom, parameters: {x: y}}
- conditions: {capacity: "1Gi,"}
  action: {type: fs-backup}
includeExcludePolicy: {includedNamespaceScopedResources: [pods], excludedClusterScopedResources: [nodes]}
`}, nil},

	"gate: all keys": {string(RoleGate), map[string]string{
		"image": "myregistry.io/velero/velero:v1.17", "command": "/velero-restore-helper", "cpuRequest": "200m", "memRequest": "128Mi", "cpuLimit": "200m",
		"memLimit": "128Mi", "secCtxRunAsUser": "1001", "secCtxRunAsGroup": "999", "secCtxAllowPrivilegeEscalation": "false",
		"secCtx": "capabilities:\n  drop:\n  - ALL\n  add: []\nallowPrivilegeEscalation: false\nreadOnlyRootFilesystem: true\nrunAsUser: 1001\nrunAsGroup: 999\n",
	}, nil},
	"gate: no limits":       {string(RoleGate), map[string]string{"cpuLimit": "0", "memLimit": "0"}, nil},
	"gate: no tag":          {string(RoleGate), map[string]string{"image": "myregistry.io/velero/velero"}, nil},
	"gate: an unknown key":  {string(RoleGate), map[string]string{"colour": "red"}, []string{`data.colour: Invalid value: "red": unknown key`}},
	"gate: an empty value":  {string(RoleGate), map[string]string{"image": ""}, nil},
	"gate: nothing is said": {string(RoleGate), nil, nil},

	"modifier": {velerov1.ConfigResourceModifier, map[string]string{"m.yaml": `version: v1
resourceModifierRules:
- conditions: {groupResource: persistentvolumeclaims, resourceNameRegex: "^mysql.*$", namespaces: [bar]}
  patches: [{operation: replace, path: /spec/storageClassName, value: premium}]
`}, nil},
}

func TestWhatVeleroAcceptsIsAccepted(t *testing.T) {
	t.Parallel()
	for name, tc := range acceptedByVelero {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := Check(configMap("x", tc.data), []Role{Role(tc.role)})

			g.Expect(got.Invalid).To(BeEmpty())
			g.Expect(got.Ignored).To(HaveLen(len(tc.ignored)), "%q", got.Ignored)
			for i := range tc.ignored {
				g.Expect(got.Ignored[i]).To(HavePrefix(tc.ignored[i]))
			}
		})
	}
}

func TestWhatIsBrokenIsNamed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		role string
		data map[string]string
		want string // beginning of the only problem
	}{
		"node agent: two keys":       {velerov1.ConfigNodeAgent, map[string]string{"a": "{}", "b": "{}"}, "data: must have exactly one key, has 2: a, b"},
		"node agent: no data":        {velerov1.ConfigNodeAgent, nil, "data: must have exactly one key, has 0"},
		"node agent: no JSON":        {velerov1.ConfigNodeAgent, map[string]string{"x": "a: b"}, "data[x]: parsing JSON: "},
		"node agent: a wrong type":   {velerov1.ConfigNodeAgent, map[string]string{"x": `{"loadConcurrency":{"globalConfig":"two"}}`}, "data[x]: loadConcurrency.globalConfig: Invalid value: string: must be of type int"},
		"node agent: a quantity":     {velerov1.ConfigNodeAgent, map[string]string{"x": `{"podResources":{"cpuLimit":"much"}}`}, `data[x]: podResources.cpuLimit: Invalid value: "much": must be a quantity`},
		"repository: a limit":        {velerov1.ConfigBackupRepository, map[string]string{"kopia": `{"cacheLimitMB":"2Gi"}`}, `data[kopia][cacheLimitMB]: Invalid value: "2Gi": must be a number`},
		"maintenance: no JSON":       {velerov1.ConfigMaintenanceJobs, map[string]string{"global": `{`}, "data[global]: unexpected end"},
		"maintenance: a selector":    {velerov1.ConfigMaintenanceJobs, map[string]string{"global": `{"loadAffinity":[{"nodeSelector":{"matchExpressions":[{"key":"a","operator":"Likes"}]}}]}`}, "data[global]: loadAffinity[0].nodeSelector: "},
		"policy: an action":          {velerov1.ConfigResourcePolicy, map[string]string{"p": "version: v1\nvolumePolicies:\n- action: {type: keep}\n"}, `volumePolicies[0].action.type: Unsupported value: "keep": supported values: `},
		"gate: an image":             {string(RoleGate), map[string]string{"image": "podkeep"}, `data.image: Invalid value: "podkeep": must have a registry or a folder, such as registry.example.com/podkeep`},
		"gate: a user":               {string(RoleGate), map[string]string{"secCtxRunAsUser": "root"}, `data.secCtxRunAsUser: Invalid value: "root": must be a number between 0 and 2147483647`},
		"gate: a context":            {string(RoleGate), map[string]string{"secCtx": "runAsRoot: true"}, `data.secCtx: Invalid value: "runAsRoot: true": must be a SecurityContext in YAML: `},
		"gate: a request over limit": {string(RoleGate), map[string]string{"cpuRequest": "2", "cpuLimit": "1"}, `data.cpuRequest: Invalid value: "2": must not be above cpuLimit, which is 1`},
		"modifier: a version":        {velerov1.ConfigResourceModifier, map[string]string{"m": "version: v2\nresourceModifierRules: []"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := Check(configMap("x", tc.data), []Role{Role(tc.role)})

			g.Expect(got.Invalid).NotTo(BeEmpty())
			g.Expect(got.Invalid[0]).To(HavePrefix(tc.want))
			g.Expect(got.Invalid[0]).NotTo(ContainSubstring("; using"), "nothing is used instead of what is refused")
		})
	}
}

func TestAnUnknownLabelIsSaid(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := Check(configMap("x", nil), []Role{"node"})

	g.Expect(got.Invalid).To(BeEmpty())
	g.Expect(got.Ignored).To(ConsistOf(`metadata.labels[podkeep.io/config]: Unsupported value: "node": the ConfigMap is not checked; ` +
		`supported values: backup-repository, node-agent, none, repo-maintenance-job, resource-modifier, resource-policy`))
}

// FuzzCheck reads any texts as a ConfigMap of each role: no panic, and every problem is
// said.
func FuzzCheck(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(acceptedByVelero)) {
		data := acceptedByVelero[name].data
		for _, key := range slices.Sorted(maps.Keys(data)) {
			f.Add(key, data[key])
		}
	}
	for _, text := range []string{"", "\x00", "{", "[]", "null", `{"loadConcurrency":null}`, "a: &a [*a]", "version: v1\nvolumePolicies: 7", "\xff\xfe"} {
		f.Add("kopia", text)
		f.Add("secCtx", text)
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		cm := configMap("x", map[string]string{key: text})
		RolesOf(cm, names)
		for role := range readers {
			found := Check(cm, []Role{role})
			for _, problem := range append(found.Invalid, found.Ignored...) {
				if problem == "" {
					t.Fatalf("%s: a problem without a text in %q: %q", role, key, text)
				}
			}
		}
	})
}
