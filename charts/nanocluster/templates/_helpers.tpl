{{/* The Deployment and what belongs to it: the release's name, once with "operator". */}}
{{- define "nanocluster.name" -}}
{{- if hasSuffix "operator" .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-") }}
{{- end -}}
{{- end -}}

{{/* What belongs to no namespace: releases of one name may live in several. */}}
{{- define "nanocluster.clusterName" -}}
{{ printf "%s:%s" .Release.Namespace (include "nanocluster.name" .) }}
{{- end -}}

{{- define "nanocluster.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "nanocluster.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* Never changed once released: a Deployment's selector is immutable. */}}
{{- define "nanocluster.selector" -}}
app.kubernetes.io/name: nanocluster-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "nanocluster.labels" -}}
{{ include "nanocluster.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: nanocluster
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of an object's metadata; takes the root. */}}
{{- define "nanocluster.metadata" -}}
labels:
  {{- include "nanocluster.labels" . | nindent 2 }}
{{- with .Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The same with labels by which somebody finds the object; takes the root and them. */}}
{{- define "nanocluster.monitored" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "nanocluster.labels" $root | nindent 2 }}
  {{- with index . 1 }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* For a Prometheus that finds pods by annotations, unless a monitor does it. */}}
{{- define "nanocluster.scrape" -}}
{{- if and .Values.monitoring.annotations (not .Values.monitoring.serviceMonitor.enabled) -}}
prometheus.io/scrape: "true"
prometheus.io/port: "8080"
prometheus.io/path: /metrics
{{- end -}}
{{- end -}}

{{/* Where NanoClusters are served, for people. */}}
{{- define "nanocluster.exampleNamespace" -}}
{{ first (append .Values.watchNamespaces "default") }}
{{- end -}}

{{/*
What the operator does in a namespace that it serves. A test holds it equal, in both
directions, to the table in nano_operator.kube from which every request is made.
*/}}
{{- define "nanocluster.rules" -}}
- apiGroups: [nanocluster.io]
  resources: [nanoclusters]
  verbs: [list, watch]
- apiGroups: [nanocluster.io]
  resources: [nanoclusters/status]
  verbs: [patch]
# to own children, where OwnerReferencesPermissionEnforcement is on
- apiGroups: [nanocluster.io]
  resources: [nanoclusters/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list, create, patch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
# whose nodes are asked how many clients they have; gates that are to leave get a label
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
# whether clients still find those
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, create, patch, delete]
# never listed: what else is in a namespace's Secrets is not its business. By name it reads
# its own: names come from those of clusters, which RBAC cannot know. It patches those with
# certificates when they are renewed.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
{{- end -}}
